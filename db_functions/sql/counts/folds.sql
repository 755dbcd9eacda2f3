create table ml_internal.folds (
    log        text primary key check (log in ('batches', 'tallies', 'cohorts')),
    snapshot   pg_snapshot not null default pg_current_snapshot(),
    folded_at  timestamptz not null default clock_timestamp(),
    -- Transaction numbers of the logs and of the snapshot are those of this cluster.
    cluster    bigint not null default (pg_catalog.pg_control_system()).system_identifier
);
comment on table ml_internal.folds is 'Up to which snapshot the logs have been added up';
insert into ml_internal.folds (log) values ('batches'), ('tallies'), ('cohorts');
