create or replace function ml.write_failures(
    model integer, queue_ids bigint[], pattern_ids uuid[], errors text[], attempts integer[], snapshots jsonb[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into ml.failures (pattern_id, model_id, error, attempts, input_snapshot)
    select f.pattern_id, model, f.error, f.attempts, f.snapshot
    from unnest(pattern_ids, errors, attempts, snapshots) f (pattern_id, error, attempts, snapshot);
    update public.pattern_events p
    set ml_confidence = null, scored_at = null, model_version = null, prediction_class = null,
        ml_metadata = jsonb_build_object('reason', 'failed', 'error', left(f.error, 200))
    from unnest(pattern_ids, errors) f (pattern_id, error)
    where p.id = f.pattern_id;
    delete from ml.queue q where q.id = any (queue_ids);
$$;
comment on function ml.write_failures(integer, bigint[], uuid[], text[], integer[], jsonb[]) is
    'Moves rows that cannot be scored to the dead letters; their patterns keep the rule confidence';
