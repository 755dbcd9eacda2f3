-- The worker's one way to write a score: rows, log, counts and queue together. Arrays are parallel, one element a
-- pattern; probabilities, features and history are flattened, oldest pattern first.
create or replace function ml_internal.write_batch(
    role            text,               -- as whom the model scored: champion, standby, canary
    champion        integer,            -- the champion the worker acted on, null when it saw none
    model           integer,            -- the model that scored, null when none did
    queue_ids       bigint[],           -- queue rows to delete; empty for backfill
    enqueued_at     timestamptz[],      -- null elements: no latency is recorded
    pattern_ids     uuid[],
    reasons         text[],             -- null: offered to the blend; else why not
    ml_confidence   real[],             -- null where there is no score
    probabilities   real[],             -- 3 a pattern
    quality         real[],
    bars            smallint[],
    features        real[],             -- feature_count a pattern; null when the model gives none
    history         double precision[], -- 2 a pattern
    input_hashes    bytea[],
    inference_ms    real,
    cache_hits      integer,
    cache_misses    integer,
    rescore         boolean,            -- also rows that have a score already
    worker          bigint,
    out written_at  timestamptz,
    out skipped     integer[])          -- places, from 0, of rows that had a score by then, are gone, or stay in the queue
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    source   text := case when cardinality(queue_ids) > 0 then 'live' else 'backfill' end;
    version  text;
    sla      double precision;
    held     uuid[] := '{}';
    width    integer := coalesce(cardinality(features) / nullif(cardinality(pattern_ids), 0), 0);
begin
    perform pg_advisory_xact_lock_shared(hashtext('ml.champion'));
    if (select a.model_id from ml.aliases a where a.alias = 'champion' and a.valid_to is null) is distinct from champion then
        raise exception 'the champion has changed' using errcode = 'ML001';
    end if;
    if cardinality(queue_ids) > 0 then
        held := ml_internal.lock_patterns(pattern_ids);
    end if;
    written_at := clock_timestamp();
    select m.version into version from ml.models m where m.id = model;
    select s.sla_ms into sla from ml.settings s;

    with given as (
        select *, (n - 1)::integer as i
        from unnest(pattern_ids, enqueued_at, reasons, ml_confidence, quality, bars, input_hashes) with ordinality
             as g (pattern_id, enqueued_at, reason, confidence, quality, bars, input_hash, n)
    ), written as (
        update public.pattern_events p
        set ml_confidence = g.confidence,
            prediction_class = case when g.confidence is not null then
                case greatest(probabilities[i * 3 + 1], probabilities[i * 3 + 2], probabilities[i * 3 + 3])
                    when probabilities[i * 3 + 3] then 'positive'
                    when probabilities[i * 3 + 1] then 'negative'
                    else 'neutral' end end,
            model_version = case when g.confidence is not null then version end,
            scored_at = case when g.confidence is not null then written_at end,
            prediction_latency_ms = extract(epoch from written_at - g.enqueued_at) * 1000,
            ml_metadata = jsonb_strip_nulls(jsonb_build_object(
                'reason', g.reason, 'role', case when role = 'canary' then role end, 'model_version', case when g.confidence is not null then version end,
                'quality', round(g.quality::numeric, 4), 'bars', g.bars,
                'probabilities', case when g.confidence is not null then
                    to_jsonb(probabilities[i * 3 + 1 : i * 3 + 3]) end))
        from given g
        where p.id = g.pattern_id and g.pattern_id <> all (held)
          -- Whoever comes second, live or backfill, finds the score and leaves it.
          and (rescore or p.scored_at is null or p.scored_at < g.enqueued_at)
        returning g.*, (extract(epoch from written_at - g.enqueued_at) * 1000)::double precision as latency_ms,
                  p.prediction_class, p.outcome_label, p.pattern_type, p.timeframe,
                  -- As the blend saw them: an adopted column may hold anything.
                  case when p.rule_confidence >= 0 and p.rule_confidence <= 1 then p.rule_confidence::double precision end as rule,
                  p.blended_confidence::double precision as blend, p.ml_metadata ->> 'reason' as decision,
                  (p.ml_metadata ->> 'threshold')::double precision as threshold,
                  (p.ml_metadata ->> 'settings_version')::integer as settings_version
    ), logged as (
        insert into ml.predictions (pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, reason,
                                    features, history, bars, latency_ms, inference_ms, settings_version, input_hash, worker_id,
                                    pattern_type, timeframe, rule_confidence, blended_confidence, threshold)
        select w.pattern_id, model, role, written_at, w.confidence, probabilities[i * 3 + 1 : i * 3 + 3], w.quality, w.reason,
               case when width > 0 then features[i * width + 1 : (i + 1) * width] end,
               history[i * 2 + 1 : i * 2 + 2], w.bars, w.latency_ms, inference_ms, w.settings_version, w.input_hash, worker,
               w.pattern_type, w.timeframe, w.rule, w.blend, w.threshold
        from written w where w.confidence is not null
    ), counted as (
        insert into ml_internal.batches (at, source, role, model_id, worker_id, inference_ms, sla_ms, cache_hits, cache_misses,
                                reasons, latency_ms, classes, confidences, rules, blends, thresholds, pattern_types, timeframes)
        select written_at, source, role, model, worker, inference_ms, sla, cache_hits, cache_misses,
               array_agg(w.decision), array_agg(w.latency_ms), array_agg(w.prediction_class), array_agg(w.confidence),
               array_agg(w.rule), array_agg(w.blend), array_agg(w.threshold), array_agg(w.pattern_type), array_agg(w.timeframe)
        from written w
        having count(*) > 0
    ), known as (
        -- Only a backfill finds outcomes that are known before the score; an adopted column has words of its own too.
        insert into ml_internal.outcome_changes (sign, scored_at, source, role, model_id, pattern_type, timeframe, outcome,
                                        ml_confidence, rule_confidence, blended_confidence, threshold)
        select 1, written_at, source, role, model, w.pattern_type, w.timeframe, w.outcome_label, w.confidence, w.rule, w.blend,
               w.threshold
        from written w
        -- An adopted column may hold other words.
        where w.confidence is not null and w.outcome_label in ('positive', 'negative', 'neutral') and w.threshold is not null
    )
    select array_agg(i order by i) into skipped from (select i from given except select i from written) s;
    delete from ml.queue q where q.id = any (queue_ids) and q.pattern_id <> all (held);
end
$$;
comment on function ml_internal.write_batch(text, integer, integer, bigint[], timestamptz[], uuid[], text[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real, integer, integer, boolean, bigint) is
    'Writes a batch of scores or fallbacks, logs and counts them, and takes the rows off the queue, but for live ones that somebody else has locked';
