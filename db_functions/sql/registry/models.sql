-- The registry. A model is one row; to ship one is to insert it through ml_internal.register_model.
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
    score_edges       double precision[],
    calibration_edges double precision[],
    created_at        timestamptz not null default clock_timestamp(),
    created_by        text not null,
    retired_at        timestamptz,
    retired_by        text,
    retired_reason    text
);
comment on table ml.models is 'Model registry: the ONNX file and everything known of it when it was registered';
-- ONNX files are compressed poorly; plain out-of-line storage is faster to read.
alter table ml.models alter column onnx set storage external;
comment on column ml.models.score_edges is 'edges of the bins into which confidences are counted';
comment on column ml.models.calibration_edges is
    'edges of equal mass over rows the model was not fitted on; every tenth where none came with it';
