-- Counts that are written with the scores. A scoring transaction appends and touches no row of
-- another's, so workers never wait for each other here. ml_internal.fold adds up what has been
-- appended since its last snapshot; a view reads what is folded and adds the rest. The transaction
-- number says which is which, whatever order transactions commit in.

create table ml_internal.batches (
    xid            xid8 not null default pg_current_xact_id(),
    at             timestamptz not null,
    source         text not null,
    role           text not null,
    model_id       integer,
    worker_id      bigint,
    inference_ms   real,
    sla_ms         double precision not null,
    cache_hits     integer not null default 0,
    cache_misses   integer not null default 0,
    reasons        text[] not null,
    latency_ms     double precision[] not null,
    classes        text[] not null,
    confidences    real[] not null,
    rules          double precision[] not null,
    blends         double precision[] not null,
    thresholds     double precision[] not null,
    pattern_types  text[] not null,
    timeframes     text[] not null,
    detected       timestamptz[] not null default '{}',
    served         double precision[] not null default '{}',
    first_passages real[] not null default '{}',
    seen           boolean[] not null default '{}'
);
comment on table ml_internal.batches is
    'One row a batch of one model, appended with its scores: parallel arrays, an element a pattern';
comment on column ml_internal.batches.source is 'live or backfill';
comment on column ml_internal.batches.role is 'as in ml.predictions';
comment on column ml_internal.batches.reasons is 'as recorded in ml_metadata';
comment on column ml_internal.batches.confidences is 'null where there is no score';
comment on column ml_internal.batches.detected is
    'detected_at, and as the next columns of ml.predictions; empty where nothing was scored';
create index batches_by_xid on ml_internal.batches (xid);
