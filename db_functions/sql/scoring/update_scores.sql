-- The update that gives patterns their scores, as ml_writer: triggers of an application run with no
-- other right of the system. Locks first and updates in another statement, since one statement
-- would not tell a row that is locked from one that a trigger swallowed.
-- It has the path of the function that calls it, which only functions of ml_owner may do: one of
-- its own would cost a lone row 50 us. Since public may be on it (ml_internal.update_publicly),
-- every function here is named with its schema, and every operator meets its exact types in
-- pg_catalog.
create function ml_internal.update_scores(
    scores      ml_internal.score[],
    roles       text[],                   -- of each run
    versions    text[],                   -- of each run's model
    blending    ml_internal.blending,
    first       integer,                  -- places to write
    last        integer,
    written_at  timestamptz,
    waits       boolean,                  -- for rows that another session has locked
    rescore     boolean,
    out locked  integer[],
    out free    integer[],                -- of these, those that have no newer score
    out served  ml_internal.served[])
language plpgsql security definer
as $$
declare
    due   ml_internal.due[];
    -- Of each run, what ml_metadata says when the blend is served; else some of it differs.
    said  jsonb[];
begin
    for n in 1 .. pg_catalog.cardinality(roles) loop
        said[n] := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                       'role', case when roles[n] = 'canary'::text then roles[n] end,
                       'model_version', versions[n]))
                   || ml_internal.decision_record('scored'::text, blending);
    end loop;
    if waits then
        perform from pg_catalog.unnest(scores[first:last]) g
        join public.pattern_events p on p.id = g.pattern_id
        where roles[g.run] <> 'challenger'::text
        for no key update of p;
    end if;
    select pg_catalog.array_agg(d.place),
           pg_catalog.array_agg(d.place) filter (where d.free),
           pg_catalog.array_agg(row(
               d.place, d.pattern_id, d.ml_confidence, d.class, d.version,
               pg_catalog.date_part('epoch'::text, written_at - d.enqueued_at)
                   * 1000::double precision,
               d.decision, d.rule, d.blended,
               case when d.settled and d.decision = 'scored'::text then
                   said[d.run] || pg_catalog.jsonb_build_object(
                       'quality', pg_catalog.round(d.quality::numeric, 4), 'bars', d.bars,
                       'probabilities', d.probabilities)
               else
                   pg_catalog.jsonb_strip_nulls(said[d.run] || pg_catalog.jsonb_build_object(
                       'quality', pg_catalog.round(d.quality::numeric, 4), 'bars', d.bars,
                       'probabilities', case when d.ml_confidence is not null
                                             then d.probabilities end,
                       'model_version', d.version)
                   || case when d.settled
                           then ml_internal.decision_record(d.decision, blending)
                           else pg_catalog.jsonb_build_object('reason', d.reason,
                                                              'settings_version', null) end)
               end)::ml_internal.due) filter (where d.free)
    into locked, free, due
    from (
        select l.*,
               ml_internal.decide(l.ml_confidence::double precision, l.rule, l.reason,
                                  blending.enabled, blending.threshold) as decision,
               ml_internal.blended(l.ml_confidence::double precision, l.rule,
                                   blending.ml_weight, blending.rule_weight) as blended
        from (select g.place::integer as place, g.run, g.pattern_id, g.enqueued_at, g.reason,
                     g.ml_confidence, g.probabilities, g.quality, g.bars,
                     case when g.ml_confidence is not null then versions[g.run] end as version,
                     case when g.ml_confidence is not null
                          then ml_internal.predicted_class(g.probabilities) end as class,
                     (rescore and g.ml_confidence is not null) or p.scored_at is null
                         or p.scored_at < g.enqueued_at as free,
                     ml_internal.usable_rule(p.rule_confidence) as rule,
                     -- Else it was written while no trigger fired, and the blend trigger has to
                     -- find out what the application gave.
                     p.confidence is not distinct from ml_internal.usable_rule(p.rule_confidence)
                     or p.ml_metadata ->> 'source'::text is not distinct from 'blend'::text
                     and p.confidence
                         is not distinct from ml_internal.usable_rule(p.blended_confidence)
                         as settled
              from pg_catalog.unnest(scores) with ordinality
                   g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities,
                      quality, bars, history, input_hash, features, place)
              join public.pattern_events p on p.id = g.pattern_id
              where g.place between first::bigint and last::bigint
                and roles[g.run] <> 'challenger'::text
              for no key update of p skip locked) l
        offset 0) d;
    with updated as (
        update public.pattern_events p
        set ml_confidence = d.ml_confidence,
            prediction_class = d.class,
            model_version = d.version,
            scored_at = case when d.ml_confidence is not null then written_at end,
            prediction_latency_ms = d.latency_ms,
            blended_confidence = d.blended,
            ml_metadata = d.metadata
        from pg_catalog.unnest(due) d
        cross join lateral (select case when d.decision = 'scored'::text then d.blended
                                        else d.rule end as confidence) e
        where p.id = d.pattern_id
        returning d.place, p.pattern_type, p.timeframe, p.outcome_label, p.detected_at,
                  d.class,
                  ml_internal.usable_rule(p.rule_confidence) as rule,
                  p.blended_confidence::double precision as blended, p.confidence,
                  p.ml_metadata ->> 'reason'::text as decision,
                  (p.ml_metadata ->> 'threshold'::text)::double precision as threshold,
                  (p.ml_metadata ->> 'settings_version'::text)::integer as settings_version,
                  p.id <> d.pattern_id
                  or (p.ml_confidence is null) <> (d.ml_confidence is null)
                  or (p.scored_at is null) <> (d.ml_confidence is null)
                  -- An adopted column may keep fewer digits.
                  or coalesce(pg_catalog.abs(p.ml_confidence::double precision
                                             - d.ml_confidence::double precision)
                              > 1e-4::double precision, false)
                  or p.prediction_class::text is distinct from d.class
                  or p.model_version::text is distinct from d.version
                  -- Where the decision was ours: a trigger may have changed the rule confidence.
                  or p.ml_metadata ->> 'settings_version'::text = blending.version::text
                     and ml_internal.usable_rule(p.rule_confidence) is not distinct from d.rule
                     and (p.ml_metadata ->> 'reason'::text is distinct from d.decision
                          or coalesce(pg_catalog.abs(p.blended_confidence::double precision
                                                     - d.blended) > 1e-4::double precision,
                                      (p.blended_confidence is null) <> (d.blended is null))
                          or coalesce(pg_catalog.abs(p.confidence - e.confidence)
                                      > 1e-4::double precision,
                                      (p.confidence is null) <> (e.confidence is null)))
                      as altered
    )
    select pg_catalog.array_agg(row(u.*)::ml_internal.served order by u.place)
    into served from updated u;
    -- Deferred triggers refuse now, while the row can still be told. Up to 17 they would run at
    -- COMMIT as the worker's login, too.
    set constraints all immediate;
end
$$;
comment on function ml_internal.update_scores(
    ml_internal.score[], text[], text[], ml_internal.blending, integer, integer, timestamptz,
    boolean, boolean) is
    'Internal: updates patterns with their scores, as ml_writer; says which '
    'it locked, which took their score, and what they hold now';

-- Triggers of an application often name tables without a schema. When they cannot be found, the
-- write is tried again like this.
create function ml_internal.update_publicly(
    scores ml_internal.score[], roles text[], versions text[], blending ml_internal.blending,
    first integer, last integer, written_at timestamptz, waits boolean, rescore boolean,
    out locked integer[], out free integer[], out served ml_internal.served[])
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
    select u.locked, u.free, u.served
    from ml_internal.update_scores(scores, roles, versions, blending, first, last, written_at,
                                   waits, rescore) u
$$;
comment on function ml_internal.update_publicly(
    ml_internal.score[], text[], text[], ml_internal.blending, integer, integer, timestamptz,
    boolean, boolean) is
    'Internal: ml_internal.update_scores with schema public on the path';
