-- The one place where confidence is decided. Fires only when rule or ML confidence, or the recorded decision, changed.
create or replace function ml_internal.blend_pattern() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- Postgres raises where a product is too small for a double; a part so small is none.
    tiny    constant double precision := 1e-150;
    s       record;
    ml      double precision := new.ml_confidence;
    -- An adopted column may hold anything; a value out of range is none, or its row could never be scored.
    rule    double precision := case when new.rule_confidence >= 0 and new.rule_confidence <= 1 then new.rule_confidence end;
    kept    jsonb := case when jsonb_typeof(new.ml_metadata) = 'object' then new.ml_metadata else '{}' end;
    reason  text := kept ->> 'reason';
    source  text := 'rule';
begin
    select version, enabled, threshold, ml_weight, rule_weight into strict s from ml.settings;
    if ml is null then
        new.blended_confidence := null;
        new.confidence := rule;
        if reason is null or reason not in ('no_model', 'insufficient_bars', 'low_quality', 'failed') then
            reason := 'pending';
        end if;
    else
        -- Without a rule confidence there is nothing to blend with: ML stands alone.
        new.blended_confidence := greatest(0, least(1,
            case when rule is null then ml else
                case when least(ml, s.ml_weight) < tiny then 0 else s.ml_weight * ml end
                + case when least(rule, s.rule_weight) < tiny then 0 else s.rule_weight * rule end
            end));
        if reason = 'low_quality' then
            new.confidence := rule;
        elsif not s.enabled then
            reason := 'ml_disabled';
            new.confidence := rule;
        elsif ml < s.threshold and rule is not null then
            reason := 'below_threshold';
            new.confidence := rule;
        else
            reason := 'scored';
            source := 'blend';
            new.confidence := new.blended_confidence;
        end if;
    end if;
    new.ml_metadata := kept || jsonb_build_object(
        'source', source, 'reason', reason,
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version);
    return new;
end
$$;
comment on function ml_internal.blend_pattern() is 'Decides the effective confidence from rule, ML and settings, and records how';
