create function ml_internal.note_task(task text, error text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if error is null then
        delete from ml_internal.failing_tasks f where f.task = note_task.task;
    else
        insert into ml_internal.failing_tasks as f (task, failures, error)
        values (note_task.task, 1, note_task.error)
        on conflict on constraint failing_tasks_pkey do update
            set failures = f.failures + 1, error = excluded.error, failed_at = excluded.failed_at;
    end if;
end
$$;
comment on function ml_internal.note_task(text, text) is
    'Notes that a task of upkeep failed, or (error null) that it works again';
