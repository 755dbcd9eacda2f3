create or replace function ml_internal.label_due(max_rows integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    labelled integer;
begin
    -- Every worker asks; one of them does it.
    if not ml_internal.take_task('label_due') then
        return 0;
    end if;
    update ml_internal.schedule c set ran_at = clock_timestamp()
    from ml.settings s
    where c.task = 'label_outcomes' and c.ran_at <= clock_timestamp() - s.label_every;
    if not found then
        return 0;
    end if;
    labelled := ml.label_outcomes(max_rows);
    if labelled > max_rows / 2 then
        -- There may be more (a batch lacks only rows that another session has locked): go on at
        -- the next question.
        update ml_internal.schedule set ran_at = '-infinity' where task = 'label_outcomes';
    end if;
    return labelled;
end
$$;
comment on function ml_internal.label_due(integer) is
    'Labels outcomes when label_every has passed since the last time; returns how many';
