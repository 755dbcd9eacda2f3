-- Fires only when rule or ML confidence, or the recorded decision, changed; see ml_internal.decide
-- and ml_internal.blended.
create or replace function ml_internal.blend_pattern() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
    s       ml_internal.blending;
    rule    double precision;
    ml      double precision;
    given   double precision;
    kept    jsonb;
    reason  text;
begin
    -- Decided by ml_internal.update_scores, and no trigger of the application has come between.
    if new.ml_metadata ? 'settings_version'
       and new.rule_confidence is not distinct from old.rule_confidence then
        new.confidence := case when new.ml_metadata ->> 'source' = 'blend'
                               then new.blended_confidence
                               else ml_internal.usable_rule(new.rule_confidence) end;
        return new;
    end if;
    rule := ml_internal.usable_rule(new.rule_confidence);
    -- An older script may have left anything here, NaN included.
    ml := ml_internal.usable_rule(new.ml_confidence);
    kept := case when jsonb_typeof(new.ml_metadata) = 'object' then new.ml_metadata - 'loaded'
                 else '{}' end;
    -- Written while no trigger fired: the application's, before anything takes its place.
    if new.rule_confidence is not distinct from old.rule_confidence
       and old.confidence is distinct from rule
       and (old.ml_metadata ->> 'source' is distinct from 'blend'
            or old.confidence is distinct from ml_internal.usable_rule(old.blended_confidence))
    then
        given := ml_internal.given_rule(old);
        if given is distinct from rule then
            rule := given;
            -- By way of text: float to numeric alone keeps only 15 digits.
            new.rule_confidence := given::text::numeric;
        end if;
    end if;
    select version, enabled, threshold, ml_weight, rule_weight into strict s from ml.settings;
    reason := ml_internal.decide(ml, rule, kept ->> 'reason', s.enabled, s.threshold);
    new.blended_confidence := ml_internal.blended(ml, rule, s.ml_weight, s.rule_weight);
    new.confidence := case when reason = 'scored' then new.blended_confidence else rule end;
    new.ml_metadata := kept || ml_internal.decision_record(reason, s);
    return new;
end
$$;
comment on function ml_internal.blend_pattern() is
    'Decides the effective confidence from rule, ML and settings, and records how';
