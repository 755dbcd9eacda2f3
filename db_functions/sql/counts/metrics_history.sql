create view ml.metrics_history with (security_invoker = true) as
select 'minute' as grain, f.*
from ml_internal.metrics_between(
    'minute', date_trunc('minute', clock_timestamp(), 'UTC') - interval '3 hours',
    clock_timestamp()) f
union all
select 'hour', f.*
from ml_internal.metrics_between(
    'hour', date_trunc('hour', clock_timestamp(), 'UTC') - interval '7 days',
    clock_timestamp()) f
union all
select 'day', f.*
from ml_internal.metrics_between('day', '-infinity', clock_timestamp()) f;
comment on view ml.metrics_history is
    'What was scored per minute (3 hours), hour (7 days) and day '
    '(all); ml_internal.metrics_between answers for any other time';
comment on column ml.metrics_history.grain is 'minute, hour or day: length of the period';
comment on column ml.metrics_history.bucket is 'when the period begins';
comment on column ml.metrics_history.model_version is
    'the model; null: all models together, and rows that no model scored';
comment on column ml.metrics_history.source is 'live (rows as they came) or backfill';
comment on column ml.metrics_history.rows is 'rows decided, scored or not';
comment on column ml.metrics_history.rows_per_second is 'rows by the length of the period so far';
comment on column ml.metrics_history.scored is 'rows whose blend was served';
comment on column ml.metrics_history.below_threshold is
    'scored rows left to the rule because the score was below the threshold';
comment on column ml.metrics_history.ml_disabled is
    'scored rows left to the rule because ML was disabled';
comment on column ml.metrics_history.no_model is 'rows without a score: there was no champion';
comment on column ml.metrics_history.insufficient_bars is 'rows without a score: too few bars';
comment on column ml.metrics_history.low_quality is
    'rows whose score was not used: too few features were present';
comment on column ml.metrics_history.failed is 'rows that became dead letters';
comment on column ml.metrics_history.fallback_rate is
    'share of no_model, insufficient_bars, low_quality and failed in rows, 0 to 1';
comment on column ml.metrics_history.error_rate is 'share of failed in rows, 0 to 1';
comment on column ml.metrics_history.within_sla is
    'share of rows scored within sla_ms, 0 to 1; null for backfill';
comment on column ml.metrics_history.latency_p50_ms is
    'median of insert to score, milliseconds, within 5 %';
comment on column ml.metrics_history.latency_p95_ms is
    '95 % quantile of insert to score, milliseconds, within 5 %';
comment on column ml.metrics_history.latency_p99_ms is
    '99 % quantile of insert to score, milliseconds, within 5 %';
comment on column ml.metrics_history.inference_p50_ms is
    'median of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics_history.inference_p95_ms is
    '95 % quantile of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics_history.inference_p99_ms is
    '99 % quantile of the time that the graph took for the batch, milliseconds';
comment on column ml.metrics_history.cache_hit_rate is
    'share of series found in the bar cache, 0 to 1';
comment on column ml.metrics_history.confidence_mean is 'mean ml_confidence';
comment on column ml.metrics_history.confidence_deviation is 'standard deviation of ml_confidence';
comment on column ml.metrics_history.confidence_p10 is
    '10 % quantile of ml_confidence; of one model alone';
comment on column ml.metrics_history.confidence_p50 is
    'median of ml_confidence; of one model alone';
comment on column ml.metrics_history.confidence_p90 is
    '90 % quantile of ml_confidence; of one model alone';
comment on column ml.metrics_history.negative is
    'share of scores whose likeliest outcome is negative, 0 to 1';
comment on column ml.metrics_history.neutral is
    'share of scores whose likeliest outcome is neutral, 0 to 1';
comment on column ml.metrics_history.positive is
    'share of scores whose likeliest outcome is positive, 0 to 1';
