-- Every score ever made. Partitioned by month, so that retention drops tables and never deletes rows.
create table ml.predictions (
    pattern_id        uuid not null,
    model_id          integer not null references ml.models,
    role              text not null check (role in ('champion', 'challenger', 'canary', 'replay')),
    scored_at         timestamptz not null,
    ml_confidence     real not null,
    probabilities     real[] not null,
    quality           real not null,
    reason            text,
    features          real[],
    history           double precision[] not null,
    bars              smallint not null,
    latency_ms        double precision,
    inference_ms      real,
    settings_version  integer not null,
    input_hash        bytea not null,
    worker_id         bigint
) partition by range (scored_at);
comment on table ml.predictions is 'Every score ever made, with the features and history values it was made from';
comment on column ml.predictions.reason is 'why the score was not used (low_quality), null when it was offered to the blend';
comment on column ml.predictions.history is 'the history input as used, kept so that a replay uses the same values';
comment on column ml.predictions.latency_ms is 'insert to score in milliseconds; null for backfill and replay';
comment on column ml.predictions.input_hash is 'first 16 bytes of the SHA-256 of all model inputs of this row';
create index predictions_by_pattern on ml.predictions (pattern_id, scored_at);
create table ml.predictions_default partition of ml.predictions default;

create table ml.workers (
    id             bigint generated always as identity primary key,
    host           text not null,
    pid            integer not null,
    version        text not null,
    kind           text not null check (kind in ('worker', 'backfill')),
    model_version  text,
    model_error    text,
    started_at     timestamptz not null default clock_timestamp(),
    last_seen      timestamptz not null default clock_timestamp(),
    stopped_at     timestamptz,
    batches        bigint not null default 0,
    scored         bigint not null default 0,
    fallbacks      bigint not null default 0,
    failed         bigint not null default 0,
    cache_hits     bigint not null default 0,
    cache_misses   bigint not null default 0
);
comment on table ml.workers is 'One row per worker process: heartbeat, the model it has loaded, what it has done';
