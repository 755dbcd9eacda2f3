-- Internal: before live rows are written. To wait for a row that an application has locked would
-- hold up all others, and who waits for one row with others in hand can deadlock with an
-- application that updates several.
create or replace function ml_internal.lock_patterns(ids uuid[]) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    locked  uuid[];
begin
    select array_agg(l.id) into locked
    from (select p.id from public.pattern_events p where p.id = any (ids)
          for no key update skip locked) l;
    if cardinality(locked) = cardinality(ids) then
        return '{}';
    end if;
    return array(select p.id from public.pattern_events p
                 where p.id = any (ids) and p.id <> all (coalesce(locked, '{}')));
end
$$;
comment on function ml_internal.lock_patterns(uuid[]) is
    'Internal: locks the patterns that nobody else has locked, without '
    'waiting; returns the others, except those that are gone';
