-- The worker's one way to write a score: rows, log and queue together. Arrays are parallel, one element a pattern;
-- probabilities, features and history are flattened, oldest pattern first.
create or replace function ml.write_scores(
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
    rescore         boolean,            -- also rows that have a score already
    worker          bigint) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    at             timestamptz;
    version        text;
    settings_now   integer;
    width          integer := coalesce(cardinality(features) / nullif(cardinality(pattern_ids), 0), 0);
    written        integer;
begin
    perform pg_advisory_xact_lock_shared(hashtext('ml.champion'));
    if (select a.model_id from ml.aliases a where a.alias = 'champion' and a.valid_to is null) is distinct from champion then
        raise exception 'the champion has changed' using errcode = 'ML001';
    end if;
    at := clock_timestamp();
    select m.version into version from ml.models m where m.id = model;
    select s.version into settings_now from ml.settings s;

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
            scored_at = case when g.confidence is not null then at end,
            prediction_latency_ms = extract(epoch from at - g.enqueued_at) * 1000,
            ml_metadata = jsonb_strip_nulls(jsonb_build_object(
                'reason', g.reason, 'model_version', case when g.confidence is not null then version end,
                'quality', round(g.quality::numeric, 4), 'bars', g.bars,
                'probabilities', case when g.confidence is not null then
                    to_jsonb(probabilities[i * 3 + 1 : i * 3 + 3]) end))
        from given g
        where p.id = g.pattern_id
          -- Whoever comes second, live or backfill, finds the score and leaves it.
          and (rescore or p.scored_at is null or p.scored_at < g.enqueued_at)
        returning g.*
    ), logged as (
        insert into ml.predictions (pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, reason,
                                    features, history, bars, latency_ms, inference_ms, settings_version, input_hash, worker_id)
        select w.pattern_id, model, 'champion', at, w.confidence, probabilities[i * 3 + 1 : i * 3 + 3], w.quality, w.reason,
               case when width > 0 then features[i * width + 1 : (i + 1) * width] end,
               history[i * 2 + 1 : i * 2 + 2], w.bars, extract(epoch from at - w.enqueued_at) * 1000,
               inference_ms, settings_now, w.input_hash, worker
        from written w where w.confidence is not null
    )
    select count(*) into written from written;
    delete from ml.queue q where q.id = any (queue_ids);
    return written;
end
$$;
comment on function ml.write_scores(integer, integer, bigint[], timestamptz[], uuid[], text[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real, boolean, bigint) is
    'Writes a batch of scores or fallbacks, logs the predictions and takes the rows off the queue';
