-- Scores of the past made again, by training. Arrays are parallel; probabilities, features and history are flattened.
create or replace function ml_internal.write_replay(
    version        text,
    pattern_ids    uuid[],
    confidences    real[],
    probabilities  real[],
    quality        real[],
    bars           smallint[],
    features       real[],
    history        double precision[],
    input_hashes   bytea[],
    inference_ms   real) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    model    integer;
    width    integer := coalesce(cardinality(features) / nullif(cardinality(pattern_ids), 0), 0);
    at       timestamptz := clock_timestamp();
    written  integer;
begin
    select m.id into model from ml.models m where m.version = write_replay.version;
    if not found then
        raise exception 'no model of version % is registered', version using errcode = 'ML003';
    end if;
    insert into ml.predictions (pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, features, history,
                                bars, inference_ms, settings_version, input_hash, pattern_type, timeframe, rule_confidence, threshold)
    select g.pattern_id, model, 'replay', at, g.confidence, write_replay.probabilities[i * 3 + 1 : i * 3 + 3], g.quality,
           case when width > 0 then write_replay.features[i * width + 1 : (i + 1) * width] end,
           write_replay.history[i * 2 + 1 : i * 2 + 2], g.bars, write_replay.inference_ms, s.version, g.input_hash, p.pattern_type,
           p.timeframe, case when p.rule_confidence >= 0 and p.rule_confidence <= 1 then p.rule_confidence::double precision end,
           s.threshold
    from (select *, (n - 1)::integer as i
          from unnest(pattern_ids, confidences, quality, bars, input_hashes) with ordinality
               u (pattern_id, confidence, quality, bars, input_hash, n)) g
    join public.pattern_events p on p.id = g.pattern_id
    cross join ml.settings s;
    get diagnostics written = row_count;
    insert into ml.replays (scored_at, pattern_id, model_id)
    select at, p.id, model from public.pattern_events p where p.id = any (pattern_ids);
    return written;
end
$$;
comment on function ml_internal.write_replay(text, uuid[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real) is
    'Logs scores that a model gives to rows of the past; the rows keep theirs';
