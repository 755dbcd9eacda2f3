alter table pattern_events disable trigger user;
update pattern_events p
set outcome_label = (array['success', 'failure', 'neutral', null])[1 + n % 4],
    realized_pnl = case n % 5 when 0 then 'NaN' when 1 then 0.1::float8 + 0.2 end,
    max_favorable_move = case n % 5 when 0 then 'Infinity'::float8 when 1 then 0.05 end,
    max_adverse_move = case n % 5 when 1 then 0.01 end,
    ml_confidence = case n % 9 when 0 then 0.7 when 1 then 1 when 2 then 0.1::float8 + 0.2 end,
    days_to_completion = case n % 6 when 0 then n % 30 end,
    labeled_at = case when n % 4 < 3 then timestamptz '2025-01-01 00:00+00' end,
    labeled_by = case when n % 4 < 3 then 'analyst ' || n % 3 end,
    labeling_method = case n % 4 when 0 then 'manual' when 1 then 'rule' end
from numbered where numbered.id = p.id;
alter table pattern_events enable trigger user;

insert into pattern_lifecycle_history (id, pattern_id, old_status, new_status, transition_reason)
select md5('history ' || n)::uuid, id, 'pending', 'confirmed', 'manual' from numbered where n % 4 = 0;
insert into ml_models (name, version, is_active) values ('forest', '1', true), ('forest', '2', false);
insert into ml_predictions (pattern_id, model_id, confidence) select id, 1, chance from numbered where n % 6 = 0;
insert into ml_features (pattern_id, features) select id, '{"rsi": 55}' from numbered where n % 6 = 0;
