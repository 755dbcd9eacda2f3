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
    rescore         boolean,                  -- a score, not a fallback, also where there is one
    worker          bigint,
    out written_at  timestamptz,
    out written     integer[],                -- places, from 1, of scores that were written
    out kept        uuid[],                   -- patterns that stay: another session locks them
    out refused     ml_internal.refusal[])    -- dead letters: they refused the write
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
    part       record;
    served     ml_internal.served[];
    edited     uuid[];
    taken      uuid[];
    run        ml_internal.run;
    -- Of each run.
    roles      text[];
    models     integer[];
    versions   text[];
    inferences real[];
    unseen     timestamptz[];
    passages   integer[];
    model      record;
    blending   ml_internal.blending;
    serving    integer := 0;
    last_place integer;
    orphans    uuid[];
    announced  uuid[];
    labelled   uuid[];
begin
    -- Up to 17 a deferred trigger of the application runs at COMMIT as the worker's login.
    if pg_trigger_depth() > 0 then
        raise exception 'scores are not written from within a trigger'
            using errcode = 'insufficient_privilege';
    end if;
    written_at := clock_timestamp();
    kept := '{}';
    refused := '{}';
    select v.version, v.enabled, v.threshold, v.ml_weight, v.rule_weight, v.sla_ms, v.announce
    into strict s from ml.settings v;
    blending := row(s.version, s.enabled, s.threshold, s.ml_weight, s.rule_weight);
    foreach run in array runs loop
        select m.version, m.unseen_from, m.first_passage_at into model
        from ml.models m where m.id = run.model_id;
        roles := roles || run.role;
        models := models || run.model_id;
        inferences := inferences || run.inference_ms;
        versions := versions || model.version;
        unseen := unseen || model.unseen_from;
        passages := passages || model.first_passage_at;
    end loop;
    if source <> 'replay' and cardinality(scores) > 0 then
        -- A live row that an application has locked is passed over: to wait for it would hold up
        -- all others, and who waits with others in hand can deadlock. The score that comes second,
        -- live or backfill, finds the first and leaves it.
        serving := cardinality(scores);
        if 'challenger' = any (roles) then
            select count(*), coalesce(max(g.place) filter (where roles[g.run] <> 'challenger'), 0)
            into serving, last_place
            from unnest(scores) with ordinality
                 g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities, quality,
                    bars, history, input_hash, features, place)
            where roles[g.run] <> 'challenger';
            if last_place > serving then
                raise exception 'scores of challengers come after those that are served'
                    using errcode = 'invalid_parameter_value';
            end if;
        end if;
        if serving > 0 then
            begin
                part := ml_internal.update_scores(scores, roles, versions, blending, 1, serving,
                                                  written_at, not live, rescore);
                served := part.served;
            exception when others or assert_failure then
                select null::integer[] as locked, null::integer[] as free,
                       null::ml_internal.served[] as served into part;
            end;
            if cardinality(served) is distinct from serving then
                partial := true;
                part := ml_internal.serve_scores(source, scores, roles, versions, blending,
                                                 serving, written_at, rescore, part.locked,
                                                 part.free, part.served);
                served := part.served;
                refused := part.refused;
                kept := part.kept;
            end if;
        end if;
        if partial then
            taken := array(select (scores[w.place]).pattern_id from unnest(served) w
                           where w.place is not null);
        end if;
    end if;

    if cardinality(scores) > serving then
        -- Those that are only logged, with what the blend would have been.
        served := coalesce(served, array_fill(null::ml_internal.served, array[serving])) || array(
            select case when p.id is not null and (not partial or p.id = any (taken)) then row(
                       g.place, p.pattern_type, p.timeframe, p.outcome_label, p.detected_at,
                       case when g.ml_confidence is not null
                            then ml_internal.predicted_class(g.probabilities) end,
                       b.rule, b.blended,
                       case when b.decision = 'scored' then b.blended else b.rule end,
                       b.decision, s.threshold, s.version, false)::ml_internal.served end
            from unnest(scores) with ordinality
                 g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities, quality,
                    bars, history, input_hash, features, place)
            left join public.pattern_events p on p.id = g.pattern_id
            cross join lateral (
                select r.rule,
                       ml_internal.blended(g.ml_confidence, r.rule, s.ml_weight, s.rule_weight)
                           as blended,
                       ml_internal.decide(g.ml_confidence, r.rule, g.reason, s.enabled,
                                          s.threshold) as decision
                from (select ml_internal.usable_rule(p.rule_confidence) as rule) r) b
            where g.place > serving
            order by g.place);
    end if;

    with scored as materialized (
        select g.*, models[g.run] as model_id, roles[g.run] as role,
               coalesce(g.detected_at < unseen[g.run], true) as seen,
               case when g.features[passages[g.run]] between 0 and 1
                    then g.features[passages[g.run]] end as first_passage,
               date_part('epoch', written_at - g.enqueued_at) * 1000 as latency_ms
        from rows from (unnest(scores), unnest(served)) with ordinality
             g (run, pattern_id, enqueued_at, reason, ml_confidence, probabilities, quality, bars,
                history, input_hash, features,
                done, pattern_type, timeframe, outcome_label, detected_at, class, rule, blended,
                served, decision, threshold, settings_version, altered, place)
        where g.done is not null
    ), logged as (
        insert into ml.predictions (
            pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, reason,
            features, history, bars, latency_ms, inference_ms, settings_version, input_hash,
            worker_id, pattern_type, timeframe, rule_confidence, blended_confidence, threshold,
            detected_at, served, first_passage, seen)
        select w.pattern_id, w.model_id, w.role, written_at, w.ml_confidence, w.probabilities,
               w.quality, w.reason, w.features, w.history, w.bars, w.latency_ms,
               inferences[w.run], w.settings_version, w.input_hash, worker, w.pattern_type,
               w.timeframe, w.rule, w.blended, w.threshold, w.detected_at, w.served,
               w.first_passage, w.seen
        from scored w where w.ml_confidence is not null
    ), counted as (
        insert into ml_internal.batches (
            at, source, role, model_id, worker_id, inference_ms, sla_ms, cache_hits, cache_misses,
            reasons, latency_ms, classes, confidences, rules, blends, thresholds, pattern_types,
            timeframes, detected, served, first_passages, seen)
        select written_at, source, roles[w.run], models[w.run], worker, inferences[w.run], s.sla_ms,
               case when roles[w.run] in ('champion', 'standby') then cache_hits else 0 end,
               case when roles[w.run] in ('champion', 'standby') then cache_misses else 0 end,
               array_agg(w.decision), array_agg(w.latency_ms), array_agg(w.class),
               array_agg(w.ml_confidence), array_agg(w.rule), array_agg(w.blended),
               array_agg(w.threshold), array_agg(w.pattern_type), array_agg(w.timeframe),
               array_agg(w.detected_at), array_agg(w.served), array_agg(w.first_passage),
               array_agg(w.seen)
        from scored w where w.role <> 'replay'
        group by w.run
    ), tallied as (
        insert into ml_internal.tallies (
            at, source, role, model_id, rows, cells, counts, sums, squares)
        select written_at, source, r.role, r.model_id, r.rows, r.cells, r.counts, r.sums, r.squares
        from unnest(runs) r where r.rows > 0 and not partial
    )
    select array_agg(w.place),
           -- What came back is not what was written, or not what the settings make of it.
           array_agg(w.pattern_id) filter (where w.altered),
           array_agg(w.pattern_id) filter (
               where w.outcome_label is not null and w.role <> 'replay')
        into written, edited, labelled
    from scored w;

    if labelled is not null then
        -- Only a backfill finds outcomes that are known before the score; an adopted column has
        -- words of its own too.
        insert into ml_internal.outcome_changes (
            sign, scored_at, source, role, model_id, pattern_type, timeframe, outcome,
            ml_confidence, rule_confidence, blended_confidence, threshold,
            detected_at, served, first_passage, seen)
        select 1, w.scored_at, write_scores.source, w.role, w.model_id, w.pattern_type, w.timeframe,
               p.outcome_label, w.ml_confidence, w.rule_confidence, w.blended_confidence,
               w.threshold, w.detected_at, w.served, w.first_passage, w.seen
        from (select distinct unnest(labelled)) l (id)
        join public.pattern_events p on p.id = l.id
        join ml.predictions w on w.pattern_id = l.id and w.scored_at = written_at
        where w.threshold is not null and p.outcome_label in ('positive', 'negative', 'neutral');
        perform ml_internal.renew_labelled(labelled);
    end if;
    if edited is not null then
        if not exists (select from pg_trigger t
                       where t.tgrelid = 'public.pattern_events'::regclass
                         and t.tgname = 'ml_2_blend' and t.tgenabled in ('O', 'A')) then
            raise exception 'no score would be served: trigger ml_2_blend of pattern_events is '
                            'missing or off'
                using hint = 'alter table pattern_events enable trigger ml_2_blend';
        end if;
        insert into ml_internal.altered_writes (at, task, rows, pattern_id)
        values (written_at, 'score', cardinality(edited), edited[1]);
    end if;
    if partial then
        -- The worker has counted rows that were not written: count again those that were.
        insert into ml_internal.tallies (
            at, source, role, model_id, rows, cells, counts, sums, squares)
        select written_at, source, roles[r.n], models[r.n], c.*
        from generate_subscripts(runs, 1) r (n)
        cross join lateral ml_internal.count_scores(models[r.n], array(
            select scores[w] from unnest(written) w where (scores[w]).run = r.n)) c
        where (runs[r.n]).rows > 0 and c.rows > 0;
    end if;
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
    if cardinality(queue_ids) > serving + cardinality(failures) then
        -- Queue rows whose pattern the worker's login did not see.
        orphans := array(
            select q.pattern_id from ml.queue q
            where q.id = any (queue_ids)
              and q.pattern_id not in (select g.pattern_id from unnest(scores) g
                                       union all select f.pattern_id from unnest(failures) f));
        select write_scores.refused || coalesce(u.refused, '{}') || array(
                   select row(k, 'row-level security hides the pattern from the worker''s login'
                              )::ml_internal.refusal from unnest(u.kept) k)
        into refused from ml_internal.sort_unlocked(orphans) u;
    end if;
    if cardinality(refused) > 0 then
        kept := kept || ml_internal.write_refusals(
            source, coalesce((select r.model_id from unnest(runs) r
                              where r.role <> 'challenger' limit 1), failed_model),
            refused, written_at);
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
            select f.pattern_id from unnest(failures) f where f.pattern_id <> all (kept)
            union all
            select f.pattern_id from unnest(refused) f where f.pattern_id <> all (kept));
        -- A payload is shorter than 8000 bytes; 200 ids take 7399.
        perform ml_internal.notify('ml_scored', string_agg(id::text, ',' order by n))
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
