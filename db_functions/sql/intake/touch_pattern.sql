create or replace function ml_internal.touch_pattern() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    new.updated_at := now();
    if new.status is distinct from old.status
        and new.status::text in ('completed', 'invalidated', 'expired') then
        new.completed_at := now();
    end if;
    return new;
end
$$;
comment on function ml_internal.touch_pattern() is
    'Stamps updated_at, and completed_at when a pattern ends';
