-- Internal: what has become of patterns that a batch could not lock. Another session has those
-- locked that can be seen and reached; those that a policy hides are refused, with the reason;
-- the rest is gone.
create function ml_internal.sort_unlocked(
    ids uuid[], out kept uuid[], out refused ml_internal.refusal[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if not ml_internal.rows_may_hide() then
        kept := array(select p.id from public.pattern_events p where p.id = any (ids));
        return;
    end if;
    with seen as (
        select i.id, exists (select from public.pattern_events p where p.id = i.id) as visible,
               ml_internal.can_reach(i.id) as reachable
        from (select distinct i.id from unnest(ids) i (id)) i
    )
    select array_agg(s.id) filter (where s.visible and s.reachable),
           array_agg(row(s.id, case when s.visible then 'row-level security keeps ml_writer from '
                                    'updating the pattern'
                               else 'the pattern cannot be seen: it is gone, or row-level '
                                    'security hides it from the system' end
                     )::ml_internal.refusal)
               filter (where not (s.visible and s.reachable))
    into kept, refused from seen s;
end
$$;
comment on function ml_internal.sort_unlocked(uuid[]) is
    'Internal: which of the patterns that could not be locked another session has in hand, '
    'and which a policy hides';
