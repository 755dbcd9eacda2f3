-- Workers may ask for the date, and read no reasons.
create function ml_internal.blend_settled() returns date
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce((date_trunc('week', max(x.changed_at), 'UTC') at time zone 'UTC')::date + 7,
                    '-infinity')
    from ml.settings_history x
    where x.name in ('enabled', 'threshold', 'ml_weight', 'rule_weight')
$$;
comment on function ml_internal.blend_settled() is
    'Internal: the first whole week (its Monday, UTC) since the settings of the blend last changed';
