-- What ml_internal.batches holds beyond the last fold, in the columns of
-- ml_internal.metric_rollups: the fold adds it there, and views add it to what they read from
-- there.
create view ml_internal.fresh_metrics with (security_invoker = true) as
with began as materialized (
    select greatest((select min(a.valid_from) from ml.aliases a where a.alias = 'champion'),
                    (select min(w.started_at) from ml.workers w where w.kind = 'worker')) as at
), fresh as materialized (
    select b.at, b.model_id, b.role, b.inference_ms, b.sla_ms, b.cache_hits, b.cache_misses,
           b.reasons, b.latency_ms, b.classes, b.confidences,
           -- Rows from before the first champion or the first worker were caught up with: how long
           -- they waited says nothing about the service.
           case when b.at - (select max(l) from unnest(b.latency_ms) l) * interval '1 ms'
                     < began.at and b.model_id is not null
                then 'backfill' else b.source end as source
    from began cross join ml_internal.folds f
    cross join ml_internal.unseen(f.snapshot) u
    join ml_internal.batches b on b.xid between u.low and u.high
    where f.log = 'batches'
), model as materialized (
    -- Unpacked once, not once a row.
    select m.id, m.score_edges || '{}'::double precision[] as score_edges from ml.models m
), element as (
    select date_trunc('minute', f.at, 'UTC') as minute, f.model_id, f.role, f.source, f.sla_ms,
           case when e.confidence is not null then f.inference_ms end as inference_ms,
           m.score_edges, e.*
    from fresh f
    cross join unnest(f.reasons, f.latency_ms, f.classes, f.confidences::double precision[])
        e (reason, latency_ms, class, confidence)
    left join model m on m.id = f.model_id
), part as (
    select e.minute, e.model_id, e.role, e.source, count(*) as rows,
           count(*) filter (where e.reason = 'scored') as scored,
           count(*) filter (where e.reason = 'below_threshold') as below_threshold,
           count(*) filter (where e.reason = 'ml_disabled') as ml_disabled,
           count(*) filter (where e.reason = 'no_model') as no_model,
           count(*) filter (where e.reason = 'insufficient_bars') as insufficient_bars,
           count(*) filter (where e.reason = 'low_quality') as low_quality,
           count(*) filter (where e.reason = 'failed') as failed,
           count(e.latency_ms) as timed,
           count(*) filter (where e.latency_ms <= e.sla_ms) as within_sla,
           ml_internal.sum_by_bin(array_agg(ml_internal.latency_bin(e.latency_ms)),
                                  null) as latency,
           ml_internal.sum_by_bin(array_agg(ml_internal.latency_bin(e.inference_ms)),
                                  null) as inference,
           count(e.confidence) as confidences, coalesce(sum(e.confidence), 0) as confidence_sum,
           coalesce(sum(e.confidence * e.confidence), 0) as confidence_squares,
           count(*) filter (where e.class = 'negative') as negative,
           count(*) filter (where e.class = 'neutral') as neutral,
           count(*) filter (where e.class = 'positive') as positive,
           ml_internal.sum_by_bin(array_agg(width_bucket(e.confidence, e.score_edges)),
                                  null) as scores
    from element e
    group by 1, 2, 3, 4
), cache as (
    select date_trunc('minute', f.at, 'UTC') as minute, f.model_id, f.role, f.source,
           sum(f.cache_hits) as hits, sum(f.cache_misses) as misses
    from fresh f
    group by 1, 2, 3, 4
)
select g.grain, date_trunc(g.grain, p.minute, 'UTC') as bucket, p.model_id, p.role, p.source,
       sum(p.rows)::bigint as rows, sum(p.scored)::bigint as scored,
       sum(p.below_threshold)::bigint as below_threshold, sum(p.ml_disabled)::bigint as ml_disabled,
       sum(p.no_model)::bigint as no_model, sum(p.insufficient_bars)::bigint as insufficient_bars,
       sum(p.low_quality)::bigint as low_quality, sum(p.failed)::bigint as failed,
       sum(p.timed)::bigint as timed, sum(p.within_sla)::bigint as within_sla,
       sum(c.hits)::bigint as cache_hits, sum(c.misses)::bigint as cache_misses,
       ml_internal.sum_arrays(p.latency) as latency,
       ml_internal.sum_arrays(p.inference) as inference, sum(p.confidences)::bigint as confidences,
       sum(p.confidence_sum) as confidence_sum, sum(p.confidence_squares) as confidence_squares,
       sum(p.negative)::bigint as negative, sum(p.neutral)::bigint as neutral,
       sum(p.positive)::bigint as positive,
       ml_internal.sum_arrays(p.scores) as scores
from part p
join cache c on (c.minute, c.role, c.source) = (p.minute, p.role, p.source)
    and c.model_id is not distinct from p.model_id
cross join (values ('minute'), ('hour'), ('day')) g (grain)
group by 1, 2, 3, 4, 5;
comment on view ml_internal.fresh_metrics is
    'Internal: scored rows that are not folded into ml_internal.metric_rollups yet';
