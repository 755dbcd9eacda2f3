create view ml.metrics with (security_invoker = true) as
select w.period, f.*
from (select 'alert_window' as period, 'minute' as grain,
             clock_timestamp() - s.alert_window as since from ml.settings s
      union all select 'hour', 'minute', clock_timestamp() - interval '1 hour'
      union all select 'day', 'hour', clock_timestamp() - interval '1 day') w
cross join lateral ml_internal.metrics_between(w.grain, w.since, clock_timestamp(), true) f;
comment on view ml.metrics is
    'What is scored now, how and how fast: over alert_window, the last hour and the last day';
comment on column ml.metrics.period is 'alert_window, hour or day: how far back the figures look';
comment on column ml.metrics.bucket is 'when the period begins';
comment on column ml.metrics.model_version is
    'the model; null: all models together, and rows that no model scored';
comment on column ml.metrics.source is 'live (rows as they came) or backfill';
comment on column ml.metrics.rows is 'rows decided, scored or not';
comment on column ml.metrics.rows_per_second is 'rows by the length of the period so far';
comment on column ml.metrics.scored is 'rows whose blend was served';
comment on column ml.metrics.below_threshold is
    'scored rows left to the rule because the score was below the threshold';
comment on column ml.metrics.ml_disabled is 'scored rows left to the rule because ML was disabled';
comment on column ml.metrics.no_model is 'rows without a score: there was no champion';
comment on column ml.metrics.insufficient_bars is 'rows without a score: too few bars';
comment on column ml.metrics.low_quality is
    'rows whose score was not used: too few features were present';
comment on column ml.metrics.failed is 'rows that became dead letters';
comment on column ml.metrics.fallback_rate is
    'share of no_model, insufficient_bars, low_quality and failed in rows, 0 to 1';
comment on column ml.metrics.error_rate is 'share of failed in rows, 0 to 1';
comment on column ml.metrics.within_sla is
    'share of rows scored within sla_ms, 0 to 1; null for backfill';
comment on column ml.metrics.latency_p50_ms is
    'median of insert to score, milliseconds, within 5 %';
comment on column ml.metrics.latency_p95_ms is
    '95 % quantile of insert to score, milliseconds, within 5 %';
comment on column ml.metrics.latency_p99_ms is
    '99 % quantile of insert to score, milliseconds, within 5 %';
comment on column ml.metrics.inference_p50_ms is
    'median of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics.inference_p95_ms is
    '95 % quantile of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics.inference_p99_ms is
    '99 % quantile of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics.cache_hit_rate is 'share of series found in the bar cache, 0 to 1';
comment on column ml.metrics.confidence_mean is 'mean ml_confidence';
comment on column ml.metrics.confidence_deviation is 'standard deviation of ml_confidence';
comment on column ml.metrics.confidence_p10 is '10 % quantile of ml_confidence; of one model alone';
comment on column ml.metrics.confidence_p50 is 'median of ml_confidence; of one model alone';
comment on column ml.metrics.confidence_p90 is '90 % quantile of ml_confidence; of one model alone';
comment on column ml.metrics.negative is
    'share of scores whose likeliest outcome is negative, 0 to 1';
comment on column ml.metrics.neutral is
    'share of scores whose likeliest outcome is neutral, 0 to 1';
comment on column ml.metrics.positive is
    'share of scores whose likeliest outcome is positive, 0 to 1';
