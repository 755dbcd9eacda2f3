create or replace function ml_internal.apply_environment(name text, value text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    setting  text := case name
        when 'ENABLE_PHASE5_ML' then 'enabled'
        when 'ML_CONFIDENCE_THRESHOLD' then 'threshold'
        when 'ML_CONFIDENCE_WEIGHT' then 'ml_weight'
        when 'RULE_CONFIDENCE_WEIGHT' then 'rule_weight'
    end;
    last     text;
begin
    if setting is null then
        raise exception 'the environment variable "%" sets nothing', name using errcode = 'ML004';
    end if;
    if value is null then
        return false;
    end if;
    -- Workers start together: without the lock each would apply the same value.
    perform from ml.settings s where s.environment = 'on' for update;
    if not found then
        return false;
    end if;
    select h.reason into last from ml.settings_history h
    where h.name = setting and h.source = 'environment' order by h.id desc limit 1;
    if last is not distinct from name || '=' || value then
        return false;
    end if;
    begin
        perform ml_internal.change_setting(setting, value, name || '=' || value, 'environment');
    exception when sqlstate 'ML004' then
        raise exception 'the environment variable % cannot be applied: %', name, sqlerrm
            using errcode = 'ML004';
    end;
    return true;
end
$$;
comment on function ml_internal.apply_environment(text, text) is
    'Applies a worker''s environment variable when its '
    'value differs from the last one taken from there';
