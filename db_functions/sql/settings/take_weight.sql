-- A learned weight of the model; the rule has the rest of 1.
create function ml_internal.take_weight(learned double precision, reason text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    rest  constant double precision := (1 - learned::numeric)::double precision;
    s     record;
begin
    select v.ml_weight, v.rule_weight into strict s from ml.settings v;
    if s.ml_weight is distinct from learned then
        perform ml_internal.change_setting('ml_weight', learned::text, reason, 'learned');
    end if;
    if s.rule_weight is distinct from rest then
        perform ml_internal.change_setting('rule_weight', rest::text, reason, 'learned');
    end if;
    return s.ml_weight is distinct from learned or s.rule_weight is distinct from rest;
end
$$;
comment on function ml_internal.take_weight(double precision, text) is
    'Internal: sets learned weights where they differ, and keeps the reason in '
    'ml.settings_history; returns whether they differed';
