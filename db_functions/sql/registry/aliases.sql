create table ml.aliases (
    id          bigint generated always as identity primary key,
    alias       text not null check (alias in ('champion', 'challenger')),
    model_id    integer not null references ml.models,
    cause       text not null check (cause in ('promote', 'rollback', 'challenge')),
    forced      boolean not null default false,
    restores    bigint references ml.aliases check ((restores is not null) = (cause = 'rollback')),
    share       double precision not null default 1 check (share between 0 and 1),
    canary      double precision not null default 0 check (canary between 0 and 1),
    valid_from  timestamptz not null,
    valid_to    timestamptz check (valid_to >= valid_from),
    set_by      text not null,
    reason      text not null
);
comment on table ml.aliases is
    'Which model held which alias when; valid_to is null for the present';
comment on column ml.aliases.restores is 'of a rollback: the promotion that it went back to';
create unique index aliases_one_champion on ml.aliases (alias)
    where alias = 'champion' and valid_to is null;
create index aliases_by_time on ml.aliases (alias, valid_from);
create unique index aliases_one_challenger on ml.aliases (model_id)
    where alias = 'challenger' and valid_to is null;
