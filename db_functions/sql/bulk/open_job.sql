-- The caller adds its pages in the same transaction when it is new, so that nobody sees half a job.
create function ml_internal.open_job(
    kind text, selection jsonb, out job uuid, out is_new boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- One that was left lying speaks of rows as they were long ago.
    delete from ml_internal.jobs j
    where j.finished_at is null and j.started_at < clock_timestamp() - interval '7 days'
      and not exists (select from ml_internal.pages p
                      where p.job = j.id and p.done_at > clock_timestamp() - interval '1 day');
    insert into ml_internal.jobs (kind, selection) values (open_job.kind, open_job.selection)
    on conflict do nothing
    returning id into job;
    is_new := found;
    if not is_new then
        select j.id into job from ml_internal.jobs j
        where j.kind = open_job.kind and j.selection = open_job.selection
          and j.finished_at is null;
    end if;
end
$$;
comment on function ml_internal.open_job(text, jsonb) is
    'The unfinished job of this kind over these rows, or a new one';
