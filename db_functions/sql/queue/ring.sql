create function ml_internal.ring() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform ml_internal.notify((select d.channel from ml_internal.doorbell d), '');
end
$$;
comment on function ml_internal.ring() is 'Internal: wakes the workers';
