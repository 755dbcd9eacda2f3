create function ml_internal.add_page(job uuid, page integer, slice integer, ids uuid[])
    returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ml_internal.pages (job, page, slice, ids)
    select j.id, add_page.page, add_page.slice, add_page.ids
    from ml_internal.jobs j where j.id = add_page.job and j.finished_at is null
    returning cardinality(ids)
$$;
comment on function ml_internal.add_page(uuid, integer, integer, uuid[]) is
    'Adds patterns to a job; returns how many';
