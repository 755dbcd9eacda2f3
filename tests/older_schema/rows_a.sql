alter table pattern_events disable trigger user;
update pattern_events p
set outcome_label = (array['win', 'loss', 'positive', null])[1 + n % 4],
    realized_pnl = case when n % 4 < 2 then 0.0100 * (n % 7 - 3) end,
    max_drawdown = case n % 6 when 0 then 'NaN' when 1 then -0.50 end,
    -- Trailing zeros, more digits than a float holds, out of range, and values unlike the confidence beside them.
    rule_confidence = case n % 7 when 0 then 0.500 when 1 then 0.123456789012345678901 when 2 then 1.7 when 3 then 0.8 end,
    ml_confidence = case n % 9 when 0 then 0.70 when 1 then 'NaN' when 2 then -3 when 3 then 0.912345678901234567 end,
    blended_confidence = case n % 9 when 0 then 0.620 when 1 then 'NaN' end,
    prediction_latency_ms = case n % 9 when 0 then n end,
    ml_features = case n % 9 when 0 then '{"rsi": 55.50}'::jsonb end,
    ml_metadata = case n % 12 when 0 then '{"model": "rf-3", "reason": "legacy"}'::jsonb when 1 then 'null' when 2 then '[1]' when 3 then '"x"'::jsonb end,
    used_for_training = case n % 3 when 0 then true when 1 then false end,
    training_split = case n % 3 when 0 then 'train' end,
    last_evaluated_at = case n % 5 when 0 then timestamptz '2025-03-04 05:06:07.000001+00' end,
    evaluation_notes = case n % 41 when 0 then 'checked' end
from numbered where numbered.id = p.id;
alter table pattern_events enable trigger user;

insert into pattern_lifecycle_history
    (id, pattern_id, previous_status, new_status, rule_confidence, ml_confidence, blended_confidence, reason)
select md5('history ' || n)::uuid, id, 'pending', 'confirmed', 0.50, null, null, 'manual' from numbered where n % 4 = 0;
