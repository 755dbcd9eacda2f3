-- The registry. A model is one row; to ship one is to insert it through ml.register_model.
create table ml.models (
    id                integer generated always as identity primary key,
    version           text not null unique check (version ~ '^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$'),
    algorithm         text not null,
    onnx              bytea not null,
    bytes             integer not null generated always as (octet_length(onnx)) stored,
    sha256            text not null check (sha256 = encode(sha256(onnx), 'hex')),
    contract_version  integer not null,
    inputs            text[] not null,
    outputs           text[] not null,
    feature_names     text[] not null default '{}',
    min_bars          integer not null check (min_bars between 0 and 128),
    metrics           jsonb not null default '{}',
    model_card        text not null default '',
    toolchain         jsonb not null default '{}',
    drift_baseline    jsonb not null default '{}',
    golden            bytea,
    created_at        timestamptz not null default clock_timestamp(),
    created_by        text not null,
    retired_at        timestamptz,
    retired_by        text,
    retired_reason    text
);
comment on table ml.models is 'Model registry: the ONNX file and everything known of it when it was registered';
-- ONNX files are compressed poorly; plain out-of-line storage is faster to read.
alter table ml.models alter column onnx set storage external;

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
comment on table ml.aliases is 'Which model held which alias when; valid_to is null for the present';
comment on column ml.aliases.restores is 'of a rollback: the promotion that it went back to';
create unique index aliases_one_champion on ml.aliases (alias) where alias = 'champion' and valid_to is null;
create index aliases_by_time on ml.aliases (alias, valid_from);

create table ml.parity_checks (
    id            bigint generated always as identity primary key,
    model_id      integer not null references ml.models,
    max_abs_diff  double precision not null,
    tolerance     double precision not null,
    rows          integer not null,
    passed        boolean not null generated always as (max_abs_diff <= tolerance and rows > 0) stored,
    runtime       text not null,
    checked_by    text not null,
    checked_at    timestamptz not null default clock_timestamp()
);
comment on table ml.parity_checks is 'Replays of golden rows through ONNX Runtime, at registration and by workers';
create index parity_checks_by_model on ml.parity_checks (model_id, checked_at);
