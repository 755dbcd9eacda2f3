-- The one place where confidence is decided. Fires only when rule or ML confidence, or the recorded decision, changed.
create function ml.blend_pattern() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    s       record;
    ml      double precision := new.ml_confidence;
    rule    double precision := new.rule_confidence;
    reason  text := new.ml_metadata ->> 'reason';
    source  text := 'rule';
begin
    if not (rule >= 0 and rule <= 1) then
        raise exception 'pattern_events.rule_confidence (or confidence) is %; allowed: 0 to 1, or null', rule
            using errcode = 'check_violation', table = 'pattern_events', schema = 'public', column = 'rule_confidence';
    end if;
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
            case when rule is null then ml else s.ml_weight * ml + s.rule_weight * rule end));
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
    new.ml_metadata := coalesce(new.ml_metadata, '{}') || jsonb_build_object(
        'source', source, 'reason', reason,
        'ml_weight', s.ml_weight, 'rule_weight', s.rule_weight, 'threshold', s.threshold,
        'settings_version', s.version);
    return new;
end
$$;
comment on function ml.blend_pattern() is 'Decides the effective confidence from rule, ML and settings, and records how';
