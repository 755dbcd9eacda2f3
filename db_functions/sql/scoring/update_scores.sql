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
    every  boolean;
begin
    if waits then
        select pg_catalog.array_agg(l.place), pg_catalog.array_agg(l.place) filter (where l.free)
        into locked, free
        from (select g.place::integer as place,
                     (rescore and g.ml_confidence is not null) or p.scored_at is null
                         or p.scored_at < g.enqueued_at as free
              from pg_catalog.unnest(scores) with ordinality
                   g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities,
                      quality, bars, history, input_hash, features, place)
              join public.pattern_events p on p.id = g.pattern_id
              where g.place between first::bigint and last::bigint
                and roles[g.run] <> 'challenger'::text
              for no key update of p) l;
    else
        select pg_catalog.array_agg(l.place), pg_catalog.array_agg(l.place) filter (where l.free)
        into locked, free
        from (select g.place::integer as place,
                     (rescore and g.ml_confidence is not null) or p.scored_at is null
                         or p.scored_at < g.enqueued_at as free
              from pg_catalog.unnest(scores) with ordinality
                   g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities,
                      quality, bars, history, input_hash, features, place)
              join public.pattern_events p on p.id = g.pattern_id
              where g.place between first::bigint and last::bigint
                and roles[g.run] <> 'challenger'::text
              for no key update of p skip locked) l;
    end if;
    every := pg_catalog.cardinality(free) = last - first + 1;
    with given as (
        select g.*, roles[g.run] as role, versions[g.run] as version,
               case when g.ml_confidence is not null
                    then ml_internal.predicted_class(g.probabilities) end as class
        from pg_catalog.unnest(scores) with ordinality
             g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities, quality, bars,
                history, input_hash, features, place)
        where g.place between first::bigint and last::bigint
          and (every or g.place::integer = any (free))
    ), updated as (
        update public.pattern_events p
        set ml_confidence = g.ml_confidence,
            prediction_class = g.class,
            model_version = case when g.ml_confidence is not null then g.version end,
            scored_at = case when g.ml_confidence is not null then written_at end,
            prediction_latency_ms = (extract(epoch from written_at - g.enqueued_at)
                                     * 1000::numeric)::double precision,
            ml_metadata = pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                'reason', g.reason,
                'role', case when g.role = 'canary'::text then g.role end,
                'model_version', case when g.ml_confidence is not null then g.version end,
                'quality', pg_catalog.round(g.quality::numeric, 4), 'bars', g.bars,
                'probabilities', case when g.ml_confidence is not null
                                      then pg_catalog.to_jsonb(g.probabilities) end))
        from given g
        where p.id = g.pattern_id
        returning g.place, p.pattern_type, p.timeframe, p.outcome_label, p.detected_at,
                  g.class,
                  ml_internal.usable_rule(p.rule_confidence) as rule,
                  p.blended_confidence::double precision as blended, p.confidence,
                  p.ml_metadata ->> 'reason'::text as decision,
                  (p.ml_metadata ->> 'threshold'::text)::double precision as threshold,
                  (p.ml_metadata ->> 'settings_version'::text)::integer as settings_version,
                  p.id <> g.pattern_id
                  or (p.ml_confidence is null) <> (g.ml_confidence is null)
                  or (p.scored_at is null) <> (g.ml_confidence is null)
                  -- An adopted column may keep fewer digits.
                  or coalesce(pg_catalog.abs(p.ml_confidence::double precision
                                             - g.ml_confidence::double precision)
                              > 1e-4::double precision, false)
                  or p.prediction_class::text is distinct from g.class
                  or p.model_version::text is distinct from
                     case when g.ml_confidence is not null then g.version end as altered
    )
    select pg_catalog.array_agg(row(u.*)::ml_internal.served order by u.place)
    into served from updated u;
    -- Deferred triggers refuse now, while the row can still be told. Up to 17 they would run at
    -- COMMIT as the worker's login, too.
    set constraints all immediate;
end
$$;
comment on function ml_internal.update_scores(
    ml_internal.score[], text[], text[], integer, integer, timestamptz, boolean, boolean) is
    'Internal: updates patterns with their scores, as ml_writer; says which '
    'it locked, which took their score, and what they hold now';

-- Triggers of an application often name tables without a schema. When they cannot be found, the
-- write is tried again like this.
create function ml_internal.update_publicly(
    scores ml_internal.score[], roles text[], versions text[], first integer, last integer,
    written_at timestamptz, waits boolean, rescore boolean,
    out locked integer[], out free integer[], out served ml_internal.served[])
language sql security definer set search_path = pg_catalog, public, pg_temp
as $$
    select u.locked, u.free, u.served
    from ml_internal.update_scores(scores, roles, versions, first, last, written_at, waits,
                                   rescore) u
$$;
comment on function ml_internal.update_publicly(
    ml_internal.score[], text[], text[], integer, integer, timestamptz, boolean, boolean) is
    'Internal: ml_internal.update_scores with schema public on the path';
