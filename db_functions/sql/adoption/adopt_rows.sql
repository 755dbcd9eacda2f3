-- Fills what a scored row needs on rows that were there before the upgrade. One short transaction a
-- batch, triggers off inside it: the lock lets nobody write between the two, so no application ever
-- runs without its triggers.
create or replace procedure ml_internal.adopt_rows(batch integer default 5000)
language plpgsql
as $$
declare
    next_id     uuid := '00000000-0000-0000-0000-000000000000';
    ids         uuid[];
    found_here  text;
    rule_type   text;
    refusals    integer := 0;
    -- A null rule confidence beside a confidence is ours only where ML stands alone, and that has a
    -- score.
    not_yet     constant text := 'p.id = any ($1) and (p.detected_at is null or p.direction is null
        or (p.rule_confidence is null and p.confidence is not null and p.scored_at is null))';
begin
    if batch is null or batch < 1 then
        raise exception 'batch is %; allowed: 1 or more', batch
            using errcode = 'invalid_parameter_value';
    end if;
    if (select born from ml_internal.adoption where relation = 'pattern_events') then
        return;
    end if;
    select string_agg(format('%I', a.attname), ', ') into found_here
    from pg_catalog.pg_attribute a
    where a.attrelid = 'ml_internal.adopted_values'::regclass and a.attnum > 0
      and not a.attisdropped
      and a.attname not in ('pattern_id', 'confidence');
    select format_type(a.atttypid, a.atttypmod) into rule_type from pg_catalog.pg_attribute a
    where a.attrelid = 'public.pattern_events'::regclass and a.attname = 'rule_confidence';

    while next_id is not null loop
        -- A procedure that commits cannot pin its path in its definition.
        perform set_config('search_path', 'pg_catalog, pg_temp', true);
        begin
            lock table public.pattern_events in share row exclusive mode;
        exception when lock_not_available then
            -- A session writes for longer than lock_timeout. Let the writers queued behind us pass,
            -- then try again.
            refusals := refusals + 1;
            if refusals > 5 then
                raise;
            end if;
            commit;
            continue;
        end;
        select array_agg(b.id order by b.id) into ids
        from (select p.id from public.pattern_events p where p.id >= next_id order by p.id
              limit batch + 1) b;
        next_id := ids[batch + 1];
        call ml_internal.set_triggers(false);
        if found_here is not null then
            execute format('insert into ml_internal.adopted_values (pattern_id, confidence, %1$s)
                            select p.id, p.confidence, %1$s from public.pattern_events p where %2$s
                            on conflict do nothing', found_here, not_yet) using ids[:batch];
        end if;
        execute format($fill$
            update public.pattern_events p
            set detected_at = coalesce(p.detected_at,
                                       case when isfinite(p.created_at) then p.created_at end,
                                       case when isfinite(p.updated_at) then p.updated_at end,
                                       now()),
                -- By way of text: float to numeric alone keeps only 15 digits.
                rule_confidence = coalesce(p.rule_confidence, p.confidence::text::numeric::%s),
                -- Taken in from here on: a confidence unlike the rule is then a newer one.
                ml_metadata = case when p.rule_confidence is null and p.ml_metadata ? 'loaded'
                                   then p.ml_metadata - 'loaded' else p.ml_metadata end,
                direction = coalesce(p.direction, case
                    when abs(p.target) < 'Infinity' and abs(p.entry) < 'Infinity'
                    and p.target > p.entry then 1
                    when abs(p.target) < 'Infinity' and abs(p.entry) < 'Infinity'
                    and p.target < p.entry then -1
                    when p.verdict = 'bullish' then 1
                    when p.verdict = 'bearish' then -1
                    else 0
                end)
            where %s
        $fill$, rule_type, not_yet) using ids[:batch];
        call ml_internal.set_triggers(true);
        commit;
        refusals := 0;
    end loop;
end
$$;
comment on procedure ml_internal.adopt_rows(integer) is
    'Fills detected_at, rule_confidence and direction on adopted rows, in batches; may be repeated';
