-- The one home of what ml_metadata says of a decision; without a version it is still to be taken.
create function ml_internal.decision_record(decision text, blending ml_internal.blending)
returns jsonb
language sql stable parallel safe
return jsonb_build_object(
    'source', case when decision = 'scored' then 'blend' else 'rule' end, 'reason', decision,
    'ml_weight', blending.ml_weight, 'rule_weight', blending.rule_weight,
    'threshold', blending.threshold, 'settings_version', blending.version);
comment on function ml_internal.decision_record(text, ml_internal.blending) is
    'How the effective confidence of a row was decided, as ml_metadata keeps it';
