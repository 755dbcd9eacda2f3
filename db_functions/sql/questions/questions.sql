-- What is asked of workers, one row a pattern, until the answer is read. Its columns have the types
-- of pattern_events, so that a question is read as an insert would be. A crash of the server ends
-- every wait, so nothing here has to survive one.
create unlogged table ml_internal.questions as
select id, symbol, timeframe, pattern_type, detected_at, started_at, direction, verdict, support,
       resistance, target, entry, stoploss, rule_confidence, confidence, metadata,
       -- What the intake of a row clears.
       ml_metadata, blended_confidence, ml_confidence, prediction_class, model_version, scored_at,
       prediction_latency_ms, outcome_label, outcome_at, realized_pnl, max_favorable_move,
       max_adverse_move, bars_to_outcome, labeled_at, labeling_method
from public.pattern_events
with no data;
alter table ml_internal.questions
    add primary key (id),
    add column question    uuid not null,
    add column place       integer not null check (place >= 0),  -- from 1; 0: not of a list
    add column kind        text not null,                        -- see ml.ask
    add column options     jsonb not null,                       -- what is asked beside the pattern
    add column claimed_at  timestamptz,                          -- by a worker
    add column asker       name not null default session_user,
    add column expires_at  timestamptz not null,
    add column answer      jsonb,
    alter column answer set storage external,  -- compressing a surface takes longer than reading it
    -- Rows live for milliseconds, as those of the queue do.
    set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
         autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
create index on ml_internal.questions (question, place);
create index on ml_internal.questions (expires_at) where answer is null;
comment on table ml_internal.questions is
    'Patterns that applications ask about without inserting them, and the answers of workers';
