create table ml_internal.feature_rollups (
    grain     text not null check (grain in ('hour', 'day')),
    bucket    timestamptz not null,
    model_id  integer not null,
    role      text not null,
    source    text not null,
    rows      bigint not null,
    cells     double precision[] not null,
    sums      double precision[] not null,
    squares   double precision[] not null,
    primary key (model_id, grain, bucket, role, source)
);
comment on table ml_internal.feature_rollups is
    'Counts of a model''s variables in its frozen cells, per hour and day';
