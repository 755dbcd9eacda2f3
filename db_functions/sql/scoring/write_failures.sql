create or replace function ml_internal.write_failures(
    model integer, queue_ids bigint[], pattern_ids uuid[], errors text[], attempts integer[], snapshots jsonb[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    held  uuid[] := '{}';
begin
    if cardinality(queue_ids) > 0 then
        held := ml_internal.lock_patterns(pattern_ids);
    end if;
    insert into ml.failures (pattern_id, model_id, error, attempts, input_snapshot)
    select f.pattern_id, model, f.error, f.attempts, f.snapshot
    from unnest(pattern_ids, errors, attempts, snapshots) f (pattern_id, error, attempts, snapshot)
    where f.pattern_id <> all (held);
    with failed as (
        update public.pattern_events p
        set ml_confidence = null, scored_at = null, model_version = null, prediction_class = null,
            ml_metadata = jsonb_build_object('reason', 'failed', 'error', left(f.error, 200))
        from unnest(pattern_ids, errors) f (pattern_id, error)
        where p.id = f.pattern_id and f.pattern_id <> all (held)
        returning p.pattern_type, p.timeframe, p.ml_metadata ->> 'reason' as decision
    )
    insert into ml_internal.batches (at, source, role, model_id, sla_ms, reasons, latency_ms, classes, confidences, rules, blends,
                            thresholds, pattern_types, timeframes)
    select clock_timestamp(), case when cardinality(queue_ids) > 0 then 'live' else 'backfill' end,
           case when model <> (select a.model_id from ml.aliases a where a.alias = 'champion' and a.valid_to is null)
                then 'standby' else 'champion' end,
           model, (select s.sla_ms from ml.settings s), array_agg(f.decision), array_agg(null::double precision), array_agg(null::text),
           array_agg(null::real), array_agg(null::double precision), array_agg(null::double precision),
           array_agg(null::double precision), array_agg(f.pattern_type), array_agg(f.timeframe)
    from failed f
    having count(*) > 0;
    delete from ml.queue q where q.id = any (queue_ids) and q.pattern_id <> all (held);
end
$$;
comment on function ml_internal.write_failures(integer, bigint[], uuid[], text[], integer[], jsonb[]) is
    'Moves rows that cannot be scored to the dead letters, and counts them; their patterns keep the rule confidence; live ones that somebody else has locked stay in the queue';
