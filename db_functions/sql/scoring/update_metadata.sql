-- As ml_internal.update_scores: updates that change nothing but what was decided and why. A row
-- that is touched without a reason is decided again by the blend trigger.
create function ml_internal.update_metadata(ids uuid[], failure text default null) returns uuid[]
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
    touched  uuid[];
begin
    perform from public.pattern_events p where p.id = any (ids) for no key update;
    if failure is null then
        with updated as (
            update public.pattern_events p
            set ml_metadata = p.ml_metadata - 'settings_version'::text
            where p.id = any (ids)
            returning p.id
        )
        select pg_catalog.array_agg(u.id) into touched from updated u;
    else
        with updated as (
            update public.pattern_events p
            set ml_confidence = null, scored_at = null, model_version = null,
                prediction_class = null,
                ml_metadata = pg_catalog.jsonb_build_object(
                    'reason', 'failed'::text, 'error', pg_catalog."left"(failure, 200))
            where p.id = any (ids)
            returning p.id
        )
        select pg_catalog.array_agg(u.id) into touched from updated u;
    end if;
    set constraints all immediate;
    return touched;
end
$$;
comment on function ml_internal.update_metadata(uuid[], text) is
    'Internal: has patterns decided again, or takes their score away and says why, as ml_writer; '
    'returns those that took it';
