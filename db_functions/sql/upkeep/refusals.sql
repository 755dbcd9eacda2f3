-- Patterns that upkeep passes over for a day, since they refused to be written.
create table ml_internal.refusals (
    task        text not null check (task in ('label_outcomes', 'reblend')),
    pattern_id  uuid not null,
    error       text not null,
    refused_at  timestamptz not null default clock_timestamp(),
    primary key (task, pattern_id)
);
comment on table ml_internal.refusals is
    'Patterns that did not let themselves be labelled or blended again, and why';
create table ml_internal.altered_writes (
    at          timestamptz not null default clock_timestamp(),
    task        text not null check (task in ('score', 'label')),
    rows        integer not null,
    pattern_id  uuid not null
);
comment on table ml_internal.altered_writes is
    'Writes of which something else came back: a trigger edited them; one of the patterns';
create table ml_internal.failing_tasks (
    task       text primary key,
    failures   integer not null,
    error      text not null,
    since      timestamptz not null default clock_timestamp(),
    failed_at  timestamptz not null default clock_timestamp()
);
comment on table ml_internal.failing_tasks is
    'Tasks of upkeep whose last run failed, and how often in a row';
