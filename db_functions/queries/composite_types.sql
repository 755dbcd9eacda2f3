-- The types of what a worker sends, and of arrays of them.
select t.typname::text as name, t.oid::bigint as element, t.typarray::bigint as array
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where n.nspname = 'ml_internal' and t.typname in ('run', 'score', 'pair', 'failure')
