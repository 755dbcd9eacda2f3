-- Runs as the writer and calls nothing in schema ml, where a writer may have no right. Fires for
-- everybody but the system.
create or replace function ml_internal.guard_pattern() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    fault text[];
begin
    new.blended_confidence := old.blended_confidence;
    new.ml_confidence := old.ml_confidence;
    new.prediction_class := old.prediction_class;
    new.model_version := old.model_version;
    new.scored_at := old.scored_at;
    new.prediction_latency_ms := old.prediction_latency_ms;
    -- As it was, even the null of an adopted column: a change would blend anew.
    new.ml_metadata := old.ml_metadata;
    new.outcome_label := old.outcome_label;
    new.outcome_at := old.outcome_at;
    new.realized_pnl := old.realized_pnl;
    new.max_favorable_move := old.max_favorable_move;
    new.max_adverse_move := old.max_adverse_move;
    new.bars_to_outcome := old.bars_to_outcome;
    new.labeled_at := old.labeled_at;
    new.labeling_method := old.labeling_method;

    -- What an adopted row held before it came under guard may stay; only a change is looked at.
    fault := case
        when new.rule_confidence is distinct from old.rule_confidence
             and not (new.rule_confidence >= 0 and new.rule_confidence <= 1) then
            array['rule_confidence', new.rule_confidence::text, '0 to 1, or null']
        when new.confidence is distinct from old.confidence
             and not (new.confidence >= 0 and new.confidence <= 1) then
            array['confidence', new.confidence::text, '0 to 1, or null']
        when new.direction not in (-1, 0, 1) and new.direction is distinct from old.direction then
            array['direction', new.direction::text, '1 (bullish), -1 (bearish), 0 (unknown)']
        when not isfinite(new.detected_at) and new.detected_at is distinct from old.detected_at then
            array['detected_at', new.detected_at::text, 'a moment in time']
        when octet_length(new.symbol) > 1000 and new.symbol <> old.symbol then
            array['symbol', octet_length(new.symbol) || ' bytes long', 'at most 1000 bytes']
        when octet_length(new.timeframe) > 1000 and new.timeframe <> old.timeframe then
            array['timeframe', octet_length(new.timeframe) || ' bytes long', 'at most 1000 bytes']
        when octet_length(new.pattern_type) > 1000 and new.pattern_type <> old.pattern_type then
            array['pattern_type', octet_length(new.pattern_type) || ' bytes long',
                  'at most 1000 bytes']
    end;
    if fault is not null then
        raise exception 'pattern_events.% is %; allowed: %', fault[1], fault[2], fault[3]
            using errcode = 'check_violation', schema = 'public', table = 'pattern_events',
                  column = fault[1],
                  detail = format('Row: symbol %s, timeframe %s, pattern_type %s, detected_at %s',
                                  left(new.symbol, 100), left(new.timeframe, 100),
                                  left(new.pattern_type, 100), new.detected_at);
    end if;
    if new.confidence is distinct from old.confidence then
        if new.rule_confidence is not distinct from old.rule_confidence then
            new.rule_confidence := new.confidence;
        end if;
        -- Only a blend differs from the rule confidence; a difference that adoption found ends with
        -- this write.
        new.confidence := case when old.ml_metadata ->> 'source' = 'blend'
                               then old.blended_confidence
                               else new.rule_confidence end;
    end if;
    new.direction := coalesce(new.direction, old.direction);
    new.detected_at := coalesce(new.detected_at, old.detected_at);
    return new;
end
$$;
comment on function ml_internal.guard_pattern() is
    'Takes a changed confidence as the new rule_confidence '
    'and puts back system columns that a client wrote';
