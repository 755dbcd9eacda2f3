create or replace function ml_internal.metrics_between(
    grain text, since timestamptz, until timestamptz, whole boolean default false)
returns table (
    bucket                timestamptz,
    model_version         text,
    source                text,
    rows                  bigint,
    rows_per_second       double precision,
    scored                bigint,
    below_threshold       bigint,
    ml_disabled           bigint,
    no_model              bigint,
    insufficient_bars     bigint,
    low_quality           bigint,
    failed                bigint,
    fallback_rate         double precision,
    error_rate            double precision,
    within_sla            double precision,
    latency_p50_ms        double precision,
    latency_p95_ms        double precision,
    latency_p99_ms        double precision,
    inference_p50_ms      double precision,
    inference_p95_ms      double precision,
    inference_p99_ms      double precision,
    cache_hit_rate        double precision,
    confidence_mean       double precision,
    confidence_deviation  double precision,
    confidence_p10        double precision,
    confidence_p50        double precision,
    confidence_p90        double precision,
    negative              double precision,
    neutral               double precision,
    positive              double precision)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with part as (
        select case when whole then metrics_between.since else c.bucket end as start, c.*
        from ml_internal.metric_counts c
        where c.grain = metrics_between.grain and c.bucket >= metrics_between.since
          and c.bucket < metrics_between.until
          -- Shadow scores reach no row.
          and c.role in ('champion', 'canary', 'standby')
    ), total as (
        select p.start as bucket, p.source, p.model_id, grouping(p.model_id) as every_model,
               -- Of one model alone: bins of two do not match.
               case when count(distinct p.model_id) = 1 then min(p.model_id) end as only_model,
               sum(p.rows)::bigint as rows, sum(p.scored)::bigint as scored,
               sum(p.below_threshold)::bigint as below_threshold,
               sum(p.ml_disabled)::bigint as ml_disabled, sum(p.no_model)::bigint as no_model,
               sum(p.insufficient_bars)::bigint as insufficient_bars,
               sum(p.low_quality)::bigint as low_quality,
               sum(p.failed)::bigint as failed, sum(p.timed) as timed,
               sum(p.within_sla) as within_sla,
               sum(p.cache_hits) as hits, sum(p.cache_misses) as misses,
               ml_internal.sum_arrays(p.latency) as latency,
               ml_internal.sum_arrays(p.inference) as inference,
               ml_internal.sum_arrays(p.scores) as scores,
               nullif(sum(p.confidences), 0)::double precision as n, sum(p.confidence_sum) as s,
               sum(p.confidence_squares) as q,
               sum(p.negative) as negative, sum(p.neutral) as neutral, sum(p.positive) as positive,
               count(distinct coalesce(p.model_id, 0)) as models
        from part p
        group by grouping sets ((p.start, p.source), (p.start, p.source, p.model_id))
    ), figure as materialized (
        -- Of one model alone the total is the same, and its quantiles are not worth computing
        -- twice.
        select t.*, ml_internal.latency_quantiles(t.latency, '{0.5,0.95,0.99}') as latency_ms,
               ml_internal.latency_quantiles(t.inference, '{0.5,0.95,0.99}') as inference_ms,
               ml_internal.score_quantiles(
                   t.scores, (select o.score_edges from ml.models o where o.id = t.only_model),
                   '{0.1,0.5,0.9}') as p
        from (select t.*, max(t.models) over (partition by t.bucket, t.source) > 1 as mixed
              from total t) t
        where t.mixed or t.every_model = 0
    )
    select t.bucket, v.model_version, t.source, t.rows,
           t.rows / extract(epoch from least(
               case when whole then metrics_between.until
                    else t.bucket + ('1 ' || grain)::interval end,
               greatest(clock_timestamp(), t.bucket + interval '1 second'))
               - t.bucket)::double precision,
           t.scored, t.below_threshold, t.ml_disabled, t.no_model, t.insufficient_bars,
           t.low_quality, t.failed,
           (t.no_model + t.insufficient_bars + t.low_quality + t.failed) / t.rows::double precision,
           t.failed / t.rows::double precision,
           t.within_sla::double precision / nullif(t.timed, 0)::double precision,
           t.latency_ms[1], t.latency_ms[2], t.latency_ms[3], t.inference_ms[1], t.inference_ms[2],
           t.inference_ms[3],
           t.hits::double precision / nullif(t.hits + t.misses, 0)::double precision,
           t.s / t.n, sqrt(greatest(0, t.q / t.n - (t.s / t.n) ^ 2)), t.p[1], t.p[2], t.p[3],
           t.negative::double precision / t.n, t.neutral::double precision / t.n,
           t.positive::double precision / t.n
    from figure t
    -- Rows that no model scored are in the total only.
    cross join lateral (
        select m.version from ml.models m where t.every_model = 0 and m.id = t.model_id
        union all
        select null where t.every_model = 1 or not t.mixed) v (model_version)
$$;
comment on function ml_internal.metrics_between(text, timestamptz, timestamptz, boolean) is
    'What was scored in minutes, hours or days from since to until, or in '
    'all of them as one (whole); model_version null is every model';
