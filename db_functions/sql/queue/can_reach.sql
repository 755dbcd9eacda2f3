-- As ml_writer, whom policies for UPDATE concern.
create function ml_internal.can_reach(id uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from public.pattern_events p where p.id = can_reach.id for no key update nowait;
    return found;
exception when lock_not_available then
    return true;
end
$$;
comment on function ml_internal.can_reach(uuid) is
    'Internal: whether the pattern may be updated by the system, now or when another session '
    'has let it go';
