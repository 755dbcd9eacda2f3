-- Dead letters: their patterns keep the rule confidence and say why. Live ones that another session
-- has locked stay in the queue; they are returned.
create function ml_internal.write_failures(
    source text, model integer, failures ml_internal.failure[], written_at timestamptz)
    returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    kept  uuid[] := '{}';
begin
    if source = 'live' then
        kept := ml_internal.lock_patterns(array(select f.pattern_id from unnest(failures) f));
    end if;
    insert into ml.failures (pattern_id, model_id, error, attempts, input_snapshot)
    select f.pattern_id, model, f.error, f.attempts, f.input_snapshot
    from unnest(failures) f where f.pattern_id <> all (kept);
    with failed as (
        update public.pattern_events p
        set ml_confidence = null, scored_at = null, model_version = null, prediction_class = null,
            ml_metadata = jsonb_build_object('reason', 'failed', 'error', left(f.error, 200))
        from unnest(failures) f
        where p.id = f.pattern_id and f.pattern_id <> all (kept)
          -- A rescore that fails leaves the score that is there.
          and (source = 'live' or p.scored_at is null)
        returning p.pattern_type, p.timeframe, p.ml_metadata ->> 'reason' as decision
    )
    insert into ml_internal.batches (
        at, source, role, model_id, sla_ms, reasons, latency_ms, classes, confidences, rules,
        blends, thresholds,
        pattern_types, timeframes)
    select written_at, source,
           case when model <> (select c.model_id from ml_internal.champion c) then 'standby'
                else 'champion' end, model,
           (select s.sla_ms from ml.settings s), array_agg(f.decision),
           array_agg(null::double precision), array_agg(null::text), array_agg(null::real),
           array_agg(null::double precision), array_agg(null::double precision),
           array_agg(null::double precision), array_agg(f.pattern_type),
           array_agg(f.timeframe)
    from failed f
    having count(*) > 0;
    return kept;
end
$$;
comment on function ml_internal.write_failures(text, integer, ml_internal.failure[], timestamptz) is
    'Internal: moves rows that cannot be scored to the dead '
    'letters, and counts them; returns those that stay';
