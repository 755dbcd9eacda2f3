-- Internal: as ml_writer, which has the right that a lock takes. To wait for a row that an
-- application has locked would hold up all others, and who waits for one row with others in hand
-- can deadlock with an application that updates several.
create function ml_internal.lock_patterns(ids uuid[], waits boolean default false) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if waits then
        return array(select p.id from public.pattern_events p where p.id = any (ids)
                     for no key update);
    end if;
    return array(select p.id from public.pattern_events p where p.id = any (ids)
                 for no key update skip locked);
end
$$;
comment on function ml_internal.lock_patterns(uuid[], boolean) is
    'Internal: locks patterns, those only that nobody else has locked unless it waits; '
    'returns which';
