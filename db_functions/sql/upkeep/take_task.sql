create function ml_internal.take_task(task text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform from ml_internal.tasks t where t.task = take_task.task for update skip locked;
    if found then
        return true;
    end if;
    if not exists (select from ml_internal.tasks t where t.task = take_task.task) then
        raise exception 'there is no task %', task using errcode = 'invalid_parameter_value';
    end if;
    return false;
end
$$;
comment on function ml_internal.take_task(text) is
    'Internal: whether this transaction may do the task; false while another one does it';
