-- Fires only when rule or ML confidence, or the recorded decision, changed; see ml_internal.decide
-- and ml_internal.blended.
create or replace function ml_internal.blend_pattern() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
    s       record;
    rule    double precision := ml_internal.usable_rule(new.rule_confidence);
    kept    jsonb := case when jsonb_typeof(new.ml_metadata) = 'object' then new.ml_metadata
                          else '{}' end;
    reason  text;
begin
    select version, enabled, threshold, ml_weight, rule_weight into strict s from ml.settings;
    reason := ml_internal.decide(new.ml_confidence, rule, kept ->> 'reason', s.enabled,
                                 s.threshold);
    new.blended_confidence := ml_internal.blended(new.ml_confidence, rule, s.ml_weight,
                                                  s.rule_weight);
    new.confidence := case when reason = 'scored' then new.blended_confidence else rule end;
    new.ml_metadata := kept || jsonb_build_object(
        'source', case when reason = 'scored' then 'blend' else 'rule' end, 'reason', reason,
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version);
    return new;
end
$$;
comment on function ml_internal.blend_pattern() is
    'Decides the effective confidence from rule, ML and settings, and records how';
