-- Fires for every inserted row, so it reads no table and writes constants only. Runs as the writer, who may have no
-- right in schema ml: it calls nothing there.
create or replace function ml.intake_pattern() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    -- NaN sorts above every number, so these refuse it too.
    if not (new.confidence >= 0 and new.confidence <= 1) then
        raise exception 'pattern_events.confidence is %; allowed: 0 to 1, or null', new.confidence
            using errcode = 'check_violation', table = 'pattern_events', schema = 'public', column = 'confidence';
    end if;
    if new.rule_confidence is null then
        new.rule_confidence := new.confidence;
    elsif not (new.rule_confidence >= 0 and new.rule_confidence <= 1) then
        raise exception 'pattern_events.rule_confidence is %; allowed: 0 to 1, or null', new.rule_confidence
            using errcode = 'check_violation', table = 'pattern_events', schema = 'public', column = 'rule_confidence';
    end if;
    new.confidence := new.rule_confidence;
    if new.detected_at is null then
        new.detected_at := now();
    elsif not isfinite(new.detected_at) then
        raise exception 'pattern_events.detected_at is %; allowed: a moment in time', new.detected_at
            using errcode = 'check_violation', table = 'pattern_events', schema = 'public', column = 'detected_at';
    end if;
    if new.direction is null then
        -- Compared, not subtracted: a difference of two finite numbers may overflow.
        new.direction := case
            when abs(new.target) < 'Infinity' and abs(new.entry) < 'Infinity' and new.target > new.entry then 1
            when abs(new.target) < 'Infinity' and abs(new.entry) < 'Infinity' and new.target < new.entry then -1
            when new.verdict = 'bullish' then 1
            when new.verdict = 'bearish' then -1
            else 0
        end;
    elsif new.direction not in (-1, 0, 1) then
        raise exception 'pattern_events.direction is %; allowed: 1 (bullish), -1 (bearish), 0 (unknown)', new.direction
            using errcode = 'check_violation', table = 'pattern_events', schema = 'public', column = 'direction';
    end if;
    new.ml_metadata := jsonb '{"source": "rule", "reason": "pending"}';
    new.blended_confidence := null;
    new.ml_confidence := null;
    new.prediction_class := null;
    new.model_version := null;
    new.scored_at := null;
    new.prediction_latency_ms := null;
    new.outcome_label := null;
    new.outcome_at := null;
    new.realized_pnl := null;
    new.max_favorable_move := null;
    new.max_adverse_move := null;
    new.bars_to_outcome := null;
    new.labeled_at := null;
    new.labeling_method := null;
    return new;
end
$$;
comment on function ml.intake_pattern() is
    'Takes a client''s confidence as rule_confidence, fills direction and detected_at, discards system columns';
