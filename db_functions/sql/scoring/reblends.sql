-- Every run of ml.reblend that wrote: who, when, why, with which settings, how far it is.
create table ml.reblends (
    id           bigint generated always as identity primary key,
    reason       text not null,
    symbol       text,
    since        timestamptz,
    enabled      boolean not null,
    threshold    double precision not null,
    ml_weight    double precision not null,
    rule_weight  double precision not null,
    last_id      uuid not null default '00000000-0000-0000-0000-000000000000',
    seen         bigint not null default 0,
    reblended    bigint not null default 0,
    changed      bigint not null default 0,
    refused      bigint not null default 0,
    started_by   text not null,
    started_at   timestamptz not null default clock_timestamp(),
    finished_at  timestamptz
);
comment on table ml.reblends is
    'Every run of ml.reblend that wrote: who, when, why, with which settings, how far it is';
comment on column ml.reblends.last_id is 'every row up to this id has been looked at';
comment on column ml.reblends.refused is
    'rows that a trigger or a constraint of the application would not let be written';
