-- Runs as the writer, since who writes is what it asks; it calls nothing in schema ml, where a writer may have no
-- right. Only functions of this schema, owned by ml_owner, both set
-- ml.system_write and may create in schema ml: everybody else's system columns are put back.
create function ml.guard_pattern() returns trigger
language plpgsql
as $$
begin
    if pg_catalog.current_setting('ml.system_write', true) = 'on' and pg_catalog.has_schema_privilege('ml', 'CREATE') then
        return new;
    end if;
    new.blended_confidence := old.blended_confidence;
    new.ml_confidence := old.ml_confidence;
    new.prediction_class := old.prediction_class;
    new.model_version := old.model_version;
    new.scored_at := old.scored_at;
    new.prediction_latency_ms := old.prediction_latency_ms;
    new.ml_metadata := coalesce(old.ml_metadata, '{"source": "rule", "reason": "pending"}');
    new.outcome_label := old.outcome_label;
    new.outcome_at := old.outcome_at;
    new.realized_pnl := old.realized_pnl;
    new.max_favorable_move := old.max_favorable_move;
    new.max_adverse_move := old.max_adverse_move;
    new.bars_to_outcome := old.bars_to_outcome;
    new.labeled_at := old.labeled_at;
    new.labeling_method := old.labeling_method;

    -- Range checks come with the blend, which fires for every changed rule_confidence.
    if new.confidence is distinct from old.confidence then
        if new.rule_confidence is not distinct from old.rule_confidence then
            new.rule_confidence := new.confidence;
        end if;
        new.confidence := old.confidence;
    end if;
    if new.direction is null then
        new.direction := old.direction;
    end if;
    if new.detected_at is null then
        new.detected_at := old.detected_at;
    end if;
    return new;
end
$$;
comment on function ml.guard_pattern() is
    'Takes a changed confidence as the new rule_confidence and puts back system columns that a client wrote';
