create or replace function ml.set(name text, value double precision, reason text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
    select ml_internal.change_setting(name, value::text, reason, 'sql')
$$;
comment on function ml.set(text, double precision, text) is
    'Changes a setting from the next row on; who and why are kept in ml.settings_history';
