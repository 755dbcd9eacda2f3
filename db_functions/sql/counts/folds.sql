create table ml_internal.folds (
    log        text primary key check (log in ('batches', 'tallies', 'cohorts')),
    snapshot   pg_snapshot not null default pg_current_snapshot(),
    folded_at  timestamptz not null default clock_timestamp()
);
comment on table ml_internal.folds is 'Up to which snapshot the logs have been added up';
insert into ml_internal.folds (log) values ('batches'), ('tallies'), ('cohorts');
