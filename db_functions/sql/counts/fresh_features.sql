-- What ml_internal.tallies holds beyond the last fold, in the columns of
-- ml_internal.feature_rollups.
create view ml_internal.fresh_features with (security_invoker = true) as
with fresh as materialized (
    select date_trunc('hour', t.at, 'UTC') as hour, t.*
    from ml_internal.folds f
    cross join ml_internal.unseen(f.snapshot) u
    join ml_internal.tallies t on t.xid between u.low and u.high
    where f.log = 'tallies'
), total as (
    select hour, model_id, role, source, sum(rows) as rows, ml_internal.sum_arrays(sums) as sums,
           ml_internal.sum_arrays(squares) as squares
    from fresh group by 1, 2, 3, 4
), counted as (
    select f.hour, f.model_id, f.role, f.source,
           ml_internal.sum_by_bin(array_agg(c.cell), array_agg(c.n::double precision)) as cells
    from fresh f cross join unnest(f.cells, f.counts) c (cell, n)
    group by 1, 2, 3, 4
)
select g.grain, date_trunc(g.grain, t.hour, 'UTC') as bucket, t.model_id, t.role, t.source,
       sum(t.rows)::bigint as rows, ml_internal.sum_arrays(c.cells) as cells,
       ml_internal.sum_arrays(t.sums) as sums,
       ml_internal.sum_arrays(t.squares) as squares
from total t
join counted c using (hour, model_id, role, source)
cross join (values ('hour'), ('day')) g (grain)
group by 1, 2, 3, 4, 5;
comment on view ml_internal.fresh_features is
    'Internal: counts of features that are not folded into ml_internal.feature_rollups yet';
