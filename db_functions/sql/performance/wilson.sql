-- Its body is an expression that was parsed when it was made, so it looks nothing up in a search
-- path and is inlined.
create or replace function ml_internal.wilson(
    hits double precision, n double precision, side integer) returns double precision
language sql immutable parallel safe
return case when n > 0 then greatest(0, least(1,
    (hits + 1.920729410347062
     + side * 1.959963984540054 * sqrt(greatest(0, hits * (n - hits) / n) + 0.960364705173531))
    / (n + 3.841458820694124))) end;
comment on function ml_internal.wilson(double precision, double precision, integer) is
    'Bound of the 95 % interval of hits / n after Wilson 1927: '
    'the lower one for side -1, the upper one for side 1';
