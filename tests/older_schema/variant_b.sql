-- The second of two later scripts of the earlier system, on top of base.sql: outcomes, and tables that stay untouched.
alter table pattern_events
    add column outcome_label       varchar(20) check (outcome_label in ('success', 'failure', 'neutral')),
    add column realized_pnl        float,
    add column max_favorable_move  float,
    add column max_adverse_move    float,
    add column ml_confidence       float check (ml_confidence >= 0 and ml_confidence <= 1),
    add column days_to_completion  integer,
    add column labeled_at          timestamptz,
    add column labeled_by          text,
    add column labeling_method     text;
create index idx_pattern_events_outcome on pattern_events (outcome_label) where outcome_label is not null;

create table ml_models (
    id          serial primary key,
    name        text not null,
    version     text not null,
    is_active   boolean default false,
    metrics     jsonb default '{}'::jsonb,
    created_at  timestamptz default now(),
    unique (name, version)
);
create table ml_predictions (
    id          bigserial primary key,
    pattern_id  uuid references pattern_events (id) on delete cascade,
    model_id    integer references ml_models (id),
    confidence  float,
    created_at  timestamptz default now()
);
create table ml_features (
    pattern_id  uuid primary key references pattern_events (id) on delete cascade,
    features    jsonb not null
);
