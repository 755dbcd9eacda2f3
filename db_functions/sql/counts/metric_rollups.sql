create table ml_internal.metric_rollups (
    grain            text not null check (grain in ('minute', 'hour', 'day')),
    bucket           timestamptz not null,
    model_id         integer,
    role             text not null,
    source           text not null,
    rows             bigint not null,
    scored           bigint not null,
    below_threshold  bigint not null,
    ml_disabled      bigint not null,
    no_model         bigint not null,
    insufficient_bars bigint not null,
    low_quality      bigint not null,
    failed           bigint not null,
    timed            bigint not null,
    within_sla       bigint not null,
    cache_hits       bigint not null,
    cache_misses     bigint not null,
    latency          double precision[] not null,
    inference        double precision[] not null,
    confidences      bigint not null,
    confidence_sum   double precision not null,
    confidence_squares double precision not null,
    negative         bigint not null,
    neutral          bigint not null,
    positive         bigint not null,
    scores           double precision[] not null,
    unique nulls not distinct (grain, bucket, model_id, role, source)
);
comment on table ml_internal.metric_rollups is
    'What was scored, how and how fast, per minute, hour and day';
comment on column ml_internal.metric_rollups.latency is
    'insert to score: counts in the bins of '
    'ml_internal.latency_bin; inference likewise, of the graph alone';
comment on column ml_internal.metric_rollups.scores is
    'counts of ml_confidence in the bins of the model''s score_edges';
