-- What ml.tallies holds beyond the last fold, in the columns of ml.feature_rollups.
create view ml.fresh_features with (security_invoker = true) as
with fresh as materialized (
    select g.grain, date_trunc(g.grain, t.at, 'UTC') as bucket, t.*
    from ml.folds f join ml.tallies t on t.xid >= pg_snapshot_xmin(f.snapshot)
    cross join (values ('hour'), ('day')) g (grain)
    where f.log = 'tallies' and not pg_visible_in_snapshot(t.xid, f.snapshot)
), total as (
    select grain, bucket, model_id, role, source, sum(rows)::bigint as rows from fresh group by 1, 2, 3, 4, 5
), counted as (
    select f.grain, f.bucket, f.model_id, f.role, f.source,
           ml.sum_by_bin(array_agg(c.cell), array_agg(c.n::double precision)) as cells
    from fresh f cross join unnest(f.cells, f.counts) c (cell, n)
    group by 1, 2, 3, 4, 5
), moment as (
    select grain, bucket, model_id, role, source, array_agg(s order by place) as sums, array_agg(q order by place) as squares
    from (select f.grain, f.bucket, f.model_id, f.role, f.source, v.place, sum(v.s) as s, sum(v.q) as q
          from fresh f cross join unnest(f.sums, f.squares) with ordinality v (s, q, place)
          group by 1, 2, 3, 4, 5, 6) v
    group by 1, 2, 3, 4, 5
)
select t.grain, t.bucket, t.model_id, t.role, t.source, t.rows, coalesce(c.cells, '{}') as cells,
       coalesce(m.sums, '{}') as sums, coalesce(m.squares, '{}') as squares
from total t
left join counted c using (grain, bucket, model_id, role, source)
left join moment m using (grain, bucket, model_id, role, source);
comment on view ml.fresh_features is 'Internal: counts of features that are not folded into ml.feature_rollups yet';
