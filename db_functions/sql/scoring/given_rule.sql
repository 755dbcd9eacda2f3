-- The rule confidence that the application stands by, of a row that it may have written while no
-- trigger fired: a load, a replica, a disabled trigger. What the system did not leave in confidence
-- is the application's.
create function ml_internal.given_rule(p public.pattern_events) returns double precision
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    rule   double precision := ml_internal.usable_rule(p.rule_confidence);
    left_  double precision := case when p.ml_metadata ->> 'source' = 'blend'
                                    then ml_internal.usable_rule(p.blended_confidence)
                                    else rule end;
    v      ml_internal.adopted_values;
begin
    if p.confidence is not distinct from left_
       -- An adopted numeric column keeps 15 digits of what it was given.
       or abs(p.confidence - left_) < 1e-12
       or not (p.confidence >= 0 and p.confidence <= 1)
    then
        return rule;
    end if;
    if p.ml_metadata ? 'settings_version'
       or p.ml_metadata = jsonb '{"source": "rule", "reason": "pending"}'
       or rule is null
    then
        return p.confidence;
    end if;
    -- Loaded or adopted with both, and not decided yet: as in an INSERT the rule confidence counts,
    -- unless the confidence beside it has changed since it was adopted.
    select * into v from ml_internal.adopted_values a where a.pattern_id = p.id;
    return case when v.pattern_id is not null and v.confidence is distinct from p.confidence
                then p.confidence else rule end;
end
$$;
comment on function ml_internal.given_rule(public.pattern_events) is
    'Internal: the rule confidence that the application gave, in confidence or rule_confidence';
