-- Patterns in JSON as an insert would take them in, in their order.
select
-- include: pattern_columns
from unnest(%(patterns)s::text[]) with ordinality g (given, n)
cross join lateral ml_internal.read_pattern(g.given::jsonb) p
order by g.n
