-- Internal: ml.set and the environment both come here. Not for callers: it takes the source on
-- trust.
create or replace function ml_internal.change_setting(
    setting text, value text, reason text, origin text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
    allowed    text;
    type       text;
    old_value  text;
    new_value  text;
    version    integer;
begin
    select format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
        into type, allowed
    from pg_attribute a
    where a.attrelid = 'ml.settings'::regclass and a.attname = setting
      and a.attnum > 0 and not a.attisdropped and setting not in ('singleton', 'version');
    if type is null then
        raise exception 'there is no setting "%"', setting
            using errcode = 'ML004', hint = 'The columns of ml.settings are the settings.';
    end if;
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'changing "%" needs a reason', setting using errcode = 'ML004';
    end if;
    if value = '' and setting = 'benchmark_symbol' then
        value := null;
    end if;
    -- A number alone would be taken as seconds, which nobody means.
    if type = 'interval' and value !~ '[[:alpha:]:]' then
        raise exception 'setting "%" cannot be % without a unit; allowed: %', setting, value,
            allowed using errcode = 'ML004';
    end if;

    perform from ml.settings for update;
    execute format('select %I::text from ml.settings', setting) into old_value;
    begin
        execute format(
            'update ml.settings set %I = $1::%s, version = version + 1 returning %I::text, version',
                       setting, type, setting) into new_value, version using value;
    exception when check_violation or not_null_violation or data_exception then
        raise exception 'setting "%" cannot be %; allowed: %', setting,
            coalesce(value, 'null'), allowed
            using errcode = 'ML004';
    end;
    insert into ml.settings_history (version, name, old_value, new_value, reason,
                                     source, changed_by)
    values (version, setting, old_value, new_value, reason, origin, session_user);
    perform ml_internal.notify('ml_settings', setting);
    if setting in ('ml_weight', 'rule_weight') and origin <> 'learned' then
        perform ml_internal.fix_weights(setting, value::double precision, reason, origin);
    elsif setting = 'weights' and new_value = 'learned' then
        perform ml_internal.learn_weights(reason);
    end if;
end
$$;
comment on function ml_internal.change_setting(text, text, text, text) is
    'Internal: changes a setting and keeps the history';
