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
comment on table ml.workers is
    'One row per worker process: heartbeat, the model it has loaded, what it has done';
