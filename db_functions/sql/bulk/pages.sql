-- What a job is made of, and the ledger of what is done.
create table ml_internal.pages (
    job      uuid not null references ml_internal.jobs on delete cascade,
    page     integer not null,
    slice    integer not null,
    ids      uuid[] not null,
    rows     integer not null generated always as (cardinality(ids)) stored,
    done_at  timestamptz,
    found    jsonb,
    primary key (job, page)
);
comment on table ml_internal.pages is
    'Patterns that are worked off in one transaction; gone when their job is finished';
comment on column ml_internal.pages.slice is
    'pages of the same series and stretch of time, which one process works off in turn';
comment on column ml_internal.pages.found is 'what came of it, numbers by name';
create index pages_open on ml_internal.pages (job, slice) include (rows)
    where done_at is null;
-- Random ids do not compress; trying would cost more than the rest of the plan.
alter table ml_internal.pages alter column ids set storage external;
