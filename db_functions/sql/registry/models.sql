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
    label_horizon     integer generated always as ((metrics ->> 'label_horizon')::integer) stored,
    fitted_from       timestamptz generated always as (
                          to_timestamp((metrics ->> 'fitted_from')::double precision)) stored,
    fitted_until      timestamptz generated always as (
                          to_timestamp((metrics ->> 'fitted_until')::double precision)) stored,
    -- A day and a half a bar covers the horizon of daily bars, weekends and holidays included.
    unseen_from       timestamptz generated always as (case
                          when algorithm = 'first_passage' then '-infinity'
                          else coalesce(
                              to_timestamp((metrics #>> '{trained,test_from}')::double precision),
                              to_timestamp((metrics ->> 'fitted_until')::double precision
                                  + 129600 * coalesce((metrics ->> 'label_horizon')::integer, 20)),
                              created_at) end) stored,
    first_passage_at  integer generated always as (coalesce(
                          array_position(feature_names, 'first_passage_target'),
                          array_position(feature_names, 'first_passage_target_plain'))) stored,
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
comment on table ml.models is
    'Model registry: the ONNX file and everything known of it when it was registered';
-- ONNX files are compressed poorly; plain out-of-line storage is faster to read.
alter table ml.models alter column onnx set storage external;
comment on column ml.models.score_edges is 'edges of the bins into which confidences are counted';
comment on column ml.models.calibration_edges is
    'edges of equal mass over rows the model was not fitted on; every tenth where none came '
    'with it';
comment on column ml.models.label_horizon is
    'bars within which target and stop were looked for, as the file states it; null: unknown';
comment on column ml.models.fitted_from is
    'detected_at of the oldest row that the model was fitted on';
comment on column ml.models.fitted_until is
    'detected_at of the newest row that it was fitted on; null: it learnt from none, or the file '
    'does not say';
comment on column ml.models.unseen_from is
    'rows detected before it are no evidence for the model: it may have learned from them, or from '
    'outcomes that overlap theirs. The moment that training recorded (fit window, label horizon '
    'and embargo); else one and a half days a bar of the horizon after fitted_until; else '
    'created_at. First passage has learned from no row';
comment on column ml.models.first_passage_at is
    'place among its features of P(target) by first passage, with corrections where it has them, '
    'else by the plain formula; null: it has neither';
