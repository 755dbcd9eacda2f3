-- The first of two later scripts of the earlier system, on top of base.sql: columns of its own, a history of its own.
alter table pattern_events
    add column outcome_label          text,
    add column realized_pnl           numeric,
    add column max_drawdown           numeric,
    add column rule_confidence        numeric,
    add column ml_confidence          numeric,
    add column blended_confidence     numeric,
    add column prediction_latency_ms  integer,
    add column ml_features            jsonb,
    add column ml_metadata            jsonb,
    add column used_for_training      boolean,
    add column training_split         text,
    add column last_evaluated_at      timestamptz,
    add column evaluation_notes       text;

drop table pattern_lifecycle_history;
create table pattern_lifecycle_history (
    id                  uuid primary key default gen_random_uuid(),
    pattern_id          uuid not null references pattern_events (id) on delete cascade,
    previous_status     text,
    new_status          text,
    rule_confidence     numeric,
    ml_confidence       numeric,
    blended_confidence  numeric,
    reason              text,
    created_at          timestamptz default now()
);
create index idx_lifecycle_pattern_id on pattern_lifecycle_history (pattern_id);
create index idx_lifecycle_created_at on pattern_lifecycle_history (created_at);

create or replace function log_pattern_transition() returns trigger
language plpgsql
as $$
begin
    if old.status is distinct from new.status then
        insert into pattern_lifecycle_history
            (pattern_id, previous_status, new_status, rule_confidence, ml_confidence, blended_confidence, reason)
        values (new.id, old.status, new.status, new.rule_confidence, new.ml_confidence, new.blended_confidence,
                coalesce(new.rule_evaluation ->> 'reason', 'manual'));
    end if;
    return new;
end
$$;
