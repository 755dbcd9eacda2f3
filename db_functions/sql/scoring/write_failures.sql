-- Dead letters: their patterns keep the rule confidence and say why, unless they refuse that too.
-- Live ones that another session has locked stay in the queue; they are returned.
create function ml_internal.write_failures(
    source text, model integer, failures ml_internal.failure[], written_at timestamptz)
    returns uuid[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    ids     constant uuid[] := array(select f.pattern_id from unnest(failures) f);
    locked  uuid[];
    kept    uuid[] := '{}';
    failed  record;
    struck  uuid[];
begin
    if source = 'live' then
        locked := ml_internal.lock_patterns(ids);
        if cardinality(locked) < cardinality(ids) then
            select coalesce(u.kept, '{}') into kept
            from ml_internal.sort_unlocked(
                array(select i from unnest(ids) i where i <> all (locked))) u;
        end if;
    end if;
    insert into ml.failures (pattern_id, model_id, error, attempts, input_snapshot)
    select f.pattern_id, model, f.error, f.attempts, f.input_snapshot
    from unnest(failures) f where f.pattern_id <> all (kept);
    -- A rescore that fails leaves the score that is there.
    struck := array(
        select p.id from public.pattern_events p
        where p.id = any (ids) and p.id <> all (kept)
          and (source = 'live' or p.scored_at is null));
    for failed in
        select f.pattern_id, f.error from unnest(failures) f
        where f.marked and f.pattern_id = any (struck)
    loop
        begin
            perform ml_internal.update_metadata(array[failed.pattern_id], failed.error);
        exception when others or assert_failure then
            null;  -- Its dead letter says what the row does not.
        end;
    end loop;
    insert into ml_internal.batches (
        at, source, role, model_id, sla_ms, reasons, latency_ms, classes, confidences, rules,
        blends, thresholds,
        pattern_types, timeframes)
    select written_at, source,
           case when model <> (select c.model_id from ml_internal.champion c) then 'standby'
                else 'champion' end, model,
           (select s.sla_ms from ml.settings s), array_agg('failed'::text),
           array_agg(null::double precision), array_agg(null::text), array_agg(null::real),
           array_agg(null::double precision), array_agg(null::double precision),
           array_agg(null::double precision), array_agg(p.pattern_type),
           array_agg(p.timeframe)
    from unnest(failures) f join public.pattern_events p on p.id = f.pattern_id
    where f.pattern_id = any (struck)
    having count(*) > 0;
    return kept;
end
$$;
comment on function ml_internal.write_failures(text, integer, ml_internal.failure[], timestamptz) is
    'Internal: moves rows that cannot be scored to the dead '
    'letters, and counts them; returns those that stay';
