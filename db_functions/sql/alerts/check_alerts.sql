create or replace function ml_internal.check_alerts() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    levels   constant text[] := array['warning', 'critical'];
    found    record;
    rank     integer;
    changed  integer := 0;
begin
    -- One look at a time; a second one sees the same.
    if not ml_internal.take_task('check_alerts') then
        return 0;
    end if;
    for found in
        with condition as materialized (select * from ml_internal.alert_conditions)
        select coalesce(c.type, l.type) as type, coalesce(c.subject, l.subject) as subject, c.level,
               c.holds, c.value, c.threshold, c.message, c.since, c.window_start, c.window_end,
               l.id, l.level as old_level,
               coalesce(array_position(levels, c.level), 0) as now_rank,
               coalesce(array_position(levels, c.holds), 0) as hold_rank,
               coalesce(array_position(levels, l.level), 0) as old_rank
        from condition c
        full join (select * from ml.alert_log where cleared_at is null) l
            on (l.type, l.subject) = (c.type, c.subject)
        order by 1, 2
    loop
        -- Up at once; down only as far as the relaxed thresholds allow.
        rank := greatest(found.now_rank, least(found.old_rank, found.hold_rank));
        if rank > 0 and found.id is null then
            insert into ml.alert_log (type, subject, level, message, value, threshold,
                                      window_start, window_end, since, last_seen)
            values (found.type, found.subject, levels[rank], found.message, found.value,
                    found.threshold, found.window_start, found.window_end,
                    coalesce(found.since, clock_timestamp()), clock_timestamp())
            returning id into found.id;
        elsif rank > 0 then
            update ml.alert_log l
            set level = levels[rank], message = found.message, value = found.value,
                threshold = found.threshold, window_start = found.window_start,
                window_end = found.window_end,
                last_seen = clock_timestamp(),
                -- Who acknowledged a warning has not seen that it became critical.
                acknowledged_at = case when rank <= found.old_rank then l.acknowledged_at end,
                acknowledged_by = case when rank <= found.old_rank then l.acknowledged_by end,
                acknowledged_because =
                    case when rank <= found.old_rank then l.acknowledged_because end
            where l.id = found.id;
        elsif found.id is not null then
            update ml.alert_log l set cleared_at = clock_timestamp() where l.id = found.id;
        end if;
        if rank <> found.old_rank then
            insert into ml_internal.alert_transitions (alert_id, old_level, new_level, value)
            values (found.id, found.old_level, case when rank > 0 then levels[rank] end,
                    found.value);
            perform ml_internal.notify('ml_alerts', jsonb_build_object(
                'type', found.type, 'subject', left(found.subject, 200), 'level',
                case when rank > 0 then levels[rank] end,
                'was', found.old_level, 'value', found.value)::text);
            changed := changed + 1;
        end if;
    end loop;
    return changed;
end
$$;
comment on function ml_internal.check_alerts() is
    'Raises, lowers and clears alerts, and tells listeners of ml_alerts; '
    'workers call it every few seconds; returns how many changed';
