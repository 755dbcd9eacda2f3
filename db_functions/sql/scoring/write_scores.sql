-- The one statement that writes scores: rows, prediction log, counts, pairs, dead letters and
-- queue, in one call, so that COMMIT can travel with it. Champion, standby and canary serve rows;
-- challengers and replays are only logged. Who may call it with what is decided by
-- ml_internal.write_batch and ml_internal.write_replay.
create function ml_internal.write_scores(
    source          text,                     -- live, backfill, replay
    runs            ml_internal.run[],
    scores          ml_internal.score[],
    pairs           ml_internal.pair[],
    failures        ml_internal.failure[],
    failed_model    integer,                  -- the model that was asked for the failures
    queue_ids       bigint[],                 -- leave the queue, unless their pattern stays
    cache_hits      integer,
    cache_misses    integer,
    rescore         boolean,                  -- also rows that have a score already
    worker          bigint,
    out written_at  timestamptz,
    out written     integer[],                -- places, from 1, of scores that were written
    out kept        uuid[])                   -- patterns that stay: another session locks them
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    s          record;
    live       constant boolean := source = 'live';
    -- Rows that the batch may not write are the exception: none of the checks below costs anything
    -- until there is one.
    partial    boolean := false;
    takes      integer[];
    taken      uuid[];
    lockable   integer;
    serving    integer;
    announced  uuid[];
    labelled   uuid[];
begin
    written_at := clock_timestamp();
    kept := '{}';
    select v.* into strict s from ml.settings v;
    if source <> 'replay' and cardinality(scores) > 0 then
        -- Locked in one statement and written in the next. A live row that an application has
        -- locked is passed over: to wait for it would hold up all others, and who waits with others
        -- in hand can deadlock. The score that comes second, live or backfill, finds the first and
        -- leaves it.
        if live then
            select array_agg(l.place) filter (where l.free), count(*) into takes, lockable
            from (select g.place,
                         rescore or p.scored_at is null or p.scored_at < g.enqueued_at as free
                  from unnest(scores) with ordinality
                       g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities,
                          quality, bars, history, input_hash, features, place)
                  join public.pattern_events p on p.id = g.pattern_id
                  where (runs[g.run]).role <> 'challenger'
                  for no key update of p skip locked) l;
        else
            select array_agg(l.place) filter (where l.free), count(*) into takes, lockable
            from (select g.place,
                         rescore or p.scored_at is null or p.scored_at < g.enqueued_at as free
                  from unnest(scores) with ordinality
                       g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities,
                          quality, bars, history, input_hash, features, place)
                  join public.pattern_events p on p.id = g.pattern_id
                  where (runs[g.run]).role <> 'challenger'
                  for no key update of p) l;
        end if;
        serving := cardinality(scores);
        if exists (select from unnest(runs) r where r.role = 'challenger') then
            select count(*) into serving
            from unnest(scores) g where (runs[g.run]).role <> 'challenger';
        end if;
        partial := coalesce(cardinality(takes), 0) < serving;
        if partial then
            takes := coalesce(takes, '{}');
            taken := array(select (scores[t]).pattern_id from unnest(takes) t);
            if live and lockable < serving then
                kept := ml_internal.lock_patterns(array(
                    select g.pattern_id from unnest(scores) g
                    where (runs[g.run]).role <> 'challenger'));
            end if;
        end if;
    end if;

    with run as materialized (
        select r.n as run, r.model_id, r.role, r.inference_ms, m.version
        from unnest(runs) with ordinality r (model_id, role, inference_ms, rows, cells, counts,
                                             sums, squares, n)
        left join ml.models m on m.id = r.model_id
    ), given as materialized (
        select g.*, r.model_id, r.role, r.inference_ms, r.version,
               (extract(epoch from written_at - g.enqueued_at) * 1000)::double precision
                   as latency_ms,
               case when g.ml_confidence is not null
                    then ml_internal.predicted_class(g.probabilities) end as class
        from unnest(scores) with ordinality
             g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities, quality, bars,
                history, input_hash, features, place)
        join run r on r.run = g.run
        where not partial or g.place = any (takes)
          or (r.role = 'challenger' and g.pattern_id = any (taken))
    ), served as (
        update public.pattern_events p
        set ml_confidence = g.ml_confidence,
            prediction_class = g.class,
            model_version = case when g.ml_confidence is not null then g.version end,
            scored_at = case when g.ml_confidence is not null then written_at end,
            prediction_latency_ms = g.latency_ms,
            ml_metadata = jsonb_strip_nulls(jsonb_build_object(
                'reason', g.reason, 'role', case when g.role = 'canary' then g.role end,
                'model_version', case when g.ml_confidence is not null then g.version end,
                'quality', round(g.quality::numeric, 4), 'bars', g.bars,
                'probabilities', case when g.ml_confidence is not null
                                      then to_jsonb(g.probabilities) end))
        from given g
        where p.id = g.pattern_id and g.role in ('champion', 'standby', 'canary')
        returning g.*, p.outcome_label, p.pattern_type, p.timeframe,
                  ml_internal.usable_rule(p.rule_confidence) as rule,
                  -- As the blend trigger left them.
                  p.blended_confidence::double precision as blended,
                  p.ml_metadata ->> 'reason' as decision,
                  (p.ml_metadata ->> 'threshold')::double precision as threshold,
                  (p.ml_metadata ->> 'settings_version')::integer as settings_version
    ), beside as (
        select g.*, p.outcome_label, p.pattern_type, p.timeframe,
               ml_internal.usable_rule(p.rule_confidence) as rule,
               -- What the blend would have been.
               ml_internal.blended(g.ml_confidence, ml_internal.usable_rule(p.rule_confidence),
                                   s.ml_weight, s.rule_weight) as blended,
               ml_internal.decide(g.ml_confidence, ml_internal.usable_rule(p.rule_confidence),
                                  g.reason, s.enabled, s.threshold) as decision,
               s.threshold as threshold, s.version as settings_version
        from given g join public.pattern_events p on p.id = g.pattern_id
        where g.role in ('challenger', 'replay')
    ), scored as materialized (
        select * from served union all select * from beside
    ), logged as (
        insert into ml.predictions (
            pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, reason,
            features, history, bars, latency_ms, inference_ms, settings_version, input_hash,
            worker_id, pattern_type, timeframe, rule_confidence, blended_confidence, threshold)
        select w.pattern_id, w.model_id, w.role, written_at, w.ml_confidence, w.probabilities,
               w.quality, w.reason, w.features, w.history, w.bars, w.latency_ms, w.inference_ms,
               w.settings_version, w.input_hash, worker, w.pattern_type, w.timeframe, w.rule,
               w.blended, w.threshold
        from scored w where w.ml_confidence is not null
    ), counted as (
        insert into ml_internal.batches (
            at, source, role, model_id, worker_id, inference_ms, sla_ms, cache_hits, cache_misses,
            reasons, latency_ms, classes, confidences, rules, blends, thresholds, pattern_types,
            timeframes)
        select written_at, source, w.role, w.model_id, worker, w.inference_ms, s.sla_ms,
               case when w.role in ('champion', 'standby') then cache_hits else 0 end,
               case when w.role in ('champion', 'standby') then cache_misses else 0 end,
               array_agg(w.decision), array_agg(w.latency_ms), array_agg(w.class),
               array_agg(w.ml_confidence), array_agg(w.rule), array_agg(w.blended),
               array_agg(w.threshold), array_agg(w.pattern_type), array_agg(w.timeframe)
        from scored w where w.role <> 'replay'
        group by w.run, w.role, w.model_id, w.inference_ms
    ), known as (
        -- Only a backfill finds outcomes that are known before the score; an adopted column has
        -- words of its own too.
        insert into ml_internal.outcome_changes (
            sign, scored_at, source, role, model_id, pattern_type, timeframe, outcome,
            ml_confidence, rule_confidence, blended_confidence, threshold)
        select 1, written_at, source, w.role, w.model_id, w.pattern_type, w.timeframe,
               w.outcome_label, w.ml_confidence, w.rule, w.blended, w.threshold
        from scored w
        where w.role <> 'replay' and w.ml_confidence is not null and w.threshold is not null
          and w.outcome_label in ('positive', 'negative', 'neutral')
    )
    select array_agg(w.place), array_agg(w.pattern_id) filter (
               where w.outcome_label is not null and w.role <> 'replay')
        into written, labelled from scored w;
    perform ml_internal.renew_labelled(labelled);

    insert into ml_internal.tallies (at, source, role, model_id, rows, cells, counts, sums, squares)
    select written_at, source, r.role, r.model_id, t.*
    from unnest(runs) with ordinality r (model_id, role, inference_ms, rows, cells, counts,
                                         sums, squares, n)
    cross join lateral (
        select r.rows, r.cells, r.counts, r.sums, r.squares where not partial
        union all
        -- The worker has counted rows that were not written: count again those that were.
        select c.* from ml_internal.count_scores(r.model_id, array(
            select scores[w] from unnest(written) w where (scores[w]).run = r.n)) c where partial) t
    where r.rows > 0 and t.rows > 0;
    if cardinality(pairs) > 0 then
        insert into ml_internal.shadow_pairs (
            challenger_id, champion_id, scored_at, pattern_id, pattern_type, canary, challenger,
            champion, inference_ms)
        select (runs[g.run]).model_id, c.model_id, written_at, g.pattern_id, p.pattern_type,
               g.canary, g.challenger, g.champion, (runs[g.run]).inference_ms
        from unnest(pairs) g
        join public.pattern_events p on p.id = g.pattern_id
        cross join ml_internal.champion c
        where not partial or g.pattern_id = any (taken);
    end if;
    if cardinality(failures) > 0 then
        kept := kept || ml_internal.write_failures(source, failed_model, failures, written_at);
    end if;
    if cardinality(queue_ids) > 0 then
        delete from ml.queue q where q.id = any (queue_ids) and q.pattern_id <> all (kept);
    end if;
    -- In the transaction that scores them, so that a listener finds the row scored. Ids alone:
    -- everybody who may connect may listen, and reads of a row only what its rights allow. Nobody
    -- waits for a backfill.
    if live and s.announce = 'on' then
        announced := array(
            select (scores[w]).pattern_id from unnest(written) w
            where (runs[(scores[w]).run]).role <> 'challenger'
            union all
            select f.pattern_id from unnest(failures) f where f.pattern_id <> all (kept));
        -- A payload is shorter than 8000 bytes; 200 ids take 7399.
        perform pg_notify('ml_scored', string_agg(id::text, ',' order by n))
        from unnest(announced) with ordinality g (id, n)
        group by (n - 1) / 200;
    end if;
end
$$;
comment on function ml_internal.write_scores(
    text, ml_internal.run[], ml_internal.score[], ml_internal.pair[], ml_internal.failure[],
    integer, bigint[], integer, integer, boolean, bigint) is
    'Internal: writes, logs and counts what models made '
    'of a batch, and takes its rows off the queue';
