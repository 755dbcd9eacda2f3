-- What a challenger made of rows that ml_internal.write_batch has just written in this transaction; of canary rows only the pair,
-- for their score has been written already. Arrays as there.
create or replace function ml_internal.write_shadow(
    challenger           integer,
    champion             integer,
    written_at           timestamptz,
    source               text,
    pattern_ids          uuid[],
    canary               boolean[],
    confidences          real[],
    champion_confidences real[],
    probabilities        real[],
    quality              real[],
    bars                 smallint[],
    features             real[],
    history              double precision[],
    input_hashes         bytea[],
    inference_ms         real,
    worker               bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    width  integer := coalesce(cardinality(features) / nullif(cardinality(pattern_ids), 0), 0);
    s      record;
begin
    -- ml_internal.write_batch holds the lock that ml.challenge waits for.
    if not exists (select from ml.aliases a where a.alias = 'challenger' and a.valid_to is null and a.model_id = challenger) then
        raise exception 'the challenger has changed' using errcode = 'ML001';
    end if;
    select * into strict s from ml.settings;
    with given as (
        select g.*, (n - 1)::integer as i, p.pattern_type, p.timeframe, p.outcome_label,
               case when source = 'live' then p.prediction_latency_ms::double precision end as latency_ms,
               case when p.rule_confidence >= 0 and p.rule_confidence <= 1 then p.rule_confidence::double precision end as rule
        from unnest(pattern_ids, canary, confidences, champion_confidences, quality, bars, input_hashes) with ordinality
             as g (pattern_id, canary, confidence, champion_confidence, quality, bars, input_hash, n)
        join public.pattern_events p on p.id = g.pattern_id
    ), paired as (
        insert into ml_internal.shadow_pairs (challenger_id, champion_id, scored_at, pattern_id, pattern_type, canary, challenger, champion,
                                     inference_ms)
        select challenger, champion, written_at, g.pattern_id, g.pattern_type, g.canary, g.confidence, g.champion_confidence, inference_ms
        from given g
    ), shadow as (
        select g.*, probabilities[i * 3 + 1 : i * 3 + 3] as classes,
               -- What the blend would have been.
               case when g.rule is null then g.confidence::double precision
                    -- As ml_internal.blend_pattern has it: a product too small for a double is none.
                    else greatest(0, least(1, case when least(g.confidence, s.ml_weight) < 1e-150 then 0 else s.ml_weight * g.confidence end
                                              + case when least(g.rule, s.rule_weight) < 1e-150 then 0 else s.rule_weight * g.rule end))
               end as blend
        from given g where not g.canary
    ), logged as (
        insert into ml.predictions (pattern_id, model_id, role, scored_at, ml_confidence, probabilities, quality, features, history,
                                    bars, latency_ms, inference_ms, settings_version, input_hash, worker_id, pattern_type,
                                    timeframe, rule_confidence, blended_confidence, threshold)
        select w.pattern_id, challenger, 'challenger', written_at, w.confidence, w.classes, w.quality,
               case when width > 0 then features[i * width + 1 : (i + 1) * width] end, history[i * 2 + 1 : i * 2 + 2],
               w.bars, w.latency_ms, inference_ms, s.version, w.input_hash, worker, w.pattern_type, w.timeframe, w.rule, w.blend, s.threshold
        from shadow w
    ), known as (
        insert into ml_internal.outcome_changes (sign, scored_at, source, role, model_id, pattern_type, timeframe, outcome,
                                        ml_confidence, rule_confidence, blended_confidence, threshold)
        select 1, written_at, source, 'challenger', challenger, w.pattern_type, w.timeframe, w.outcome_label, w.confidence,
               w.rule, w.blend, s.threshold
        from shadow w where w.outcome_label in ('positive', 'negative', 'neutral')
    )
    insert into ml_internal.batches (at, source, role, model_id, worker_id, inference_ms, sla_ms, reasons, latency_ms, classes,
                            confidences, rules, blends, thresholds, pattern_types, timeframes)
    select written_at, source, 'challenger', challenger, worker, inference_ms, s.sla_ms,
           array_agg(case when not s.enabled then 'ml_disabled' when w.confidence >= s.threshold or w.rule is null then 'scored'
                          else 'below_threshold' end),
           array_agg(w.latency_ms),
           array_agg(case greatest(classes[1], classes[2], classes[3]) when classes[3] then 'positive' when classes[1] then 'negative'
                          else 'neutral' end),
           array_agg(w.confidence), array_agg(w.rule), array_agg(w.blend), array_agg(s.threshold), array_agg(w.pattern_type),
           array_agg(w.timeframe)
    from shadow w
    having count(*) > 0;
end
$$;
comment on function ml_internal.write_shadow(integer, integer, timestamptz, text, uuid[], boolean[], real[], real[], real[], real[], smallint[], real[], double precision[], bytea[], real, bigint) is
    'Logs and counts what a challenger made of a batch that ml_internal.write_batch has written, and pairs it with the champion''s answers';
