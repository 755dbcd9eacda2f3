-- Fires for every inserted row, so it reads no table and writes constants only. Runs as the writer,
-- who may have no right in schema ml: it calls nothing there.
create or replace function ml_internal.intake_pattern() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    fault text[];
begin
    -- The one test that good rows pay for. NaN sorts above every number, so it refuses that too.
    if not (new.confidence >= 0 and new.confidence <= 1)
       or not (new.rule_confidence >= 0 and new.rule_confidence <= 1)
       or not isfinite(new.detected_at) or new.direction not in (-1, 0, 1)
       or octet_length(new.symbol) > 1000 or octet_length(new.timeframe) > 1000
       or octet_length(new.pattern_type) > 1000 then
        fault := case
            when not (new.confidence >= 0 and new.confidence <= 1) then
                array['confidence', new.confidence::text, '0 to 1, or null']
            when not (new.rule_confidence >= 0 and new.rule_confidence <= 1) then
                array['rule_confidence', new.rule_confidence::text, '0 to 1, or null']
            when not isfinite(new.detected_at) then array['detected_at', new.detected_at::text,
                                                          'a moment in time']
            when new.direction not in (-1, 0, 1) then
                array['direction', new.direction::text, '1 (bullish), -1 (bearish), 0 (unknown)']
            -- Longer ones fit no index, and an index does not say which column it refuses.
            when octet_length(new.symbol) > 1000 then
                array['symbol', octet_length(new.symbol) || ' bytes long', 'at most 1000 bytes']
            when octet_length(new.timeframe) > 1000 then
                array['timeframe', octet_length(new.timeframe) || ' bytes long',
                      'at most 1000 bytes']
            when octet_length(new.pattern_type) > 1000 then
                array['pattern_type', octet_length(new.pattern_type) || ' bytes long',
                      'at most 1000 bytes']
        end;
        raise exception 'pattern_events.% is %; allowed: %', fault[1], fault[2], fault[3]
            using errcode = 'check_violation', schema = 'public', table = 'pattern_events',
                  column = fault[1],
                  detail = format('Row: symbol %s, timeframe %s, pattern_type %s, detected_at %s',
                                  left(new.symbol, 100), left(new.timeframe, 100),
                                  left(new.pattern_type, 100), new.detected_at);
    end if;
    new.rule_confidence := coalesce(new.rule_confidence, new.confidence);
    new.confidence := new.rule_confidence;
    if new.detected_at is null then
        new.detected_at := now();
    end if;
    if new.direction is null then
        -- Compared, not subtracted: a difference of two finite numbers may overflow.
        new.direction := case
            when abs(new.target) < 'Infinity' and abs(new.entry) < 'Infinity'
                and new.target > new.entry then 1
            when abs(new.target) < 'Infinity' and abs(new.entry) < 'Infinity'
                and new.target < new.entry then -1
            when new.verdict = 'bullish' then 1
            when new.verdict = 'bearish' then -1
            else 0
        end;
    end if;
    new.ml_metadata := jsonb '{"source": "rule", "reason": "pending"}';
    if num_nonnulls(
        new.blended_confidence, new.ml_confidence, new.prediction_class,
        new.model_version, new.scored_at, new.prediction_latency_ms,
        new.outcome_label, new.outcome_at, new.realized_pnl, new.max_favorable_move,
        new.max_adverse_move, new.bars_to_outcome, new.labeled_at, new.labeling_method) > 0 then
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
    end if;
    return new;
end
$$;
comment on function ml_internal.intake_pattern() is
    'Takes a client''s confidence as rule_confidence, fills '
    'direction and detected_at, discards system columns';
