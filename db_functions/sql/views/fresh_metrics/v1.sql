-- What ml.batches holds beyond the last fold, in the columns of ml.metric_rollups: the fold adds it there, and views add
-- it to what they read from there.
create view ml.fresh_metrics with (security_invoker = true) as
with fresh as materialized (
    select b.* from ml.folds f join ml.batches b on b.xid >= pg_snapshot_xmin(f.snapshot)
    where f.log = 'batches' and not pg_visible_in_snapshot(b.xid, f.snapshot)
), model as materialized (
    -- Unpacked once, not once a row.
    select m.id, m.score_edges || '{}'::double precision[] as score_edges from ml.models m
), element as (
    select g.grain, date_trunc(g.grain, f.at, 'UTC') as bucket, f.model_id, f.role, f.source, f.sla_ms,
           case when e.confidence is not null then f.inference_ms end as inference_ms, m.score_edges, e.*
    from fresh f
    cross join (values ('minute'), ('hour'), ('day')) g (grain)
    cross join unnest(f.reasons, f.latency_ms, f.classes, f.confidences::double precision[]) e (reason, latency_ms, class, confidence)
    left join model m on m.id = f.model_id
), part as (
    select e.grain, e.bucket, e.model_id, e.role, e.source, count(*) as rows,
           count(*) filter (where e.reason = 'scored') as scored,
           count(*) filter (where e.reason = 'below_threshold') as below_threshold,
           count(*) filter (where e.reason = 'ml_disabled') as ml_disabled,
           count(*) filter (where e.reason = 'no_model') as no_model,
           count(*) filter (where e.reason = 'insufficient_bars') as insufficient_bars,
           count(*) filter (where e.reason = 'low_quality') as low_quality,
           count(*) filter (where e.reason = 'failed') as failed,
           count(e.latency_ms) as timed, count(*) filter (where e.latency_ms <= e.sla_ms) as within_sla,
           ml.sum_by_bin(array_agg(ml.latency_bin(e.latency_ms)), null) as latency,
           ml.sum_by_bin(array_agg(ml.latency_bin(e.inference_ms)), null) as inference,
           count(e.confidence) as confidences, coalesce(sum(e.confidence), 0) as confidence_sum,
           coalesce(sum(e.confidence * e.confidence), 0) as confidence_squares,
           count(*) filter (where e.class = 'negative') as negative,
           count(*) filter (where e.class = 'neutral') as neutral,
           count(*) filter (where e.class = 'positive') as positive,
           ml.sum_by_bin(array_agg(width_bucket(e.confidence, e.score_edges)), null) as scores
    from element e
    group by 1, 2, 3, 4, 5
), cache as (
    select g.grain, date_trunc(g.grain, f.at, 'UTC') as bucket, f.model_id, f.role, f.source,
           sum(f.cache_hits) as hits, sum(f.cache_misses) as misses
    from fresh f cross join (values ('minute'), ('hour'), ('day')) g (grain)
    group by 1, 2, 3, 4, 5
)
select p.grain, p.bucket, p.model_id, p.role, p.source, p.rows, p.scored, p.below_threshold, p.ml_disabled, p.no_model,
       p.insufficient_bars, p.low_quality, p.failed, p.timed, p.within_sla, c.hits as cache_hits, c.misses as cache_misses,
       p.latency, p.inference, p.confidences, p.confidence_sum, p.confidence_squares, p.negative, p.neutral, p.positive, p.scores
from part p
join cache c on (c.grain, c.bucket, c.role, c.source) = (p.grain, p.bucket, p.role, p.source)
            and c.model_id is not distinct from p.model_id;
comment on view ml.fresh_metrics is 'Internal: scored rows that are not folded into ml.metric_rollups yet';
