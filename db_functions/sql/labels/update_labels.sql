-- As ml_internal.update_scores: the update that gives patterns their labels, as ml_writer.
create function ml_internal.update_labels(
    ids uuid[], labels text[], outcome_at timestamptz[], pnl double precision[],
    favorable double precision[], adverse double precision[], bars integer[], method text,
    out locked uuid[], out relabelled ml_internal.relabelled[])
language plpgsql security definer set search_path = pg_catalog, public, pg_temp
as $$
declare
    before  ml_internal.relabelled[];
begin
    if method = 'analyst'::text then
        select pg_catalog.array_agg(row(l.*, null, null, null, null)::ml_internal.relabelled)
        into before
        from (select p.id, p.pattern_type, p.outcome_label, p.outcome_at
              from public.pattern_events p where p.id = any (ids) for no key update) l;
    else
        -- Automatic labels can wait. A session that waits for one row while it holds others blocks
        -- those, and can deadlock with an application that updates several.
        select pg_catalog.array_agg(row(l.*, null, null, null, null)::ml_internal.relabelled)
        into before
        from (select p.id, p.pattern_type, p.outcome_label, p.outcome_at
              from public.pattern_events p
              where p.id = any (ids)
                and p.labeling_method::text is distinct from 'analyst'::text
              for no key update skip locked) l;
    end if;
    select pg_catalog.array_agg(b.id) into locked from pg_catalog.unnest(before) b;
    with given as (
        select g.*, b.old_type, b.old_label, b.old_at
        -- Of several arrays it is always pg_catalog's.
        from unnest(ids, labels, outcome_at, pnl, favorable, adverse, bars)
             g (id, label, outcome_at, pnl, favorable, adverse, bars)
        join pg_catalog.unnest(before) b on b.id = g.id
    ), updated as (
        update public.pattern_events p
        set outcome_label = g.label, outcome_at = g.outcome_at, realized_pnl = g.pnl,
            max_favorable_move = g.favorable, max_adverse_move = g.adverse,
            bars_to_outcome = g.bars,
            labeled_at = case when g.label is not null then pg_catalog.clock_timestamp() end,
            labeling_method = case when g.label is not null then method end
        from given g
        where p.id = g.id
        returning g.id, g.old_type, g.old_label, g.old_at, p.pattern_type, p.outcome_label,
                  p.outcome_at,
                  p.id <> g.id or p.outcome_label::text is distinct from g.label as altered
    )
    select pg_catalog.array_agg(row(u.*)::ml_internal.relabelled) into relabelled from updated u;
    set constraints all immediate;
end
$$;
comment on function ml_internal.update_labels(
    uuid[], text[], timestamptz[], double precision[], double precision[], double precision[],
    integer[], text) is
    'Internal: updates patterns with their outcomes, as ml_writer; says which it locked, and '
    'what those that took their label held before and hold now';
