create function ml_internal.take_page(job uuid, page integer) returns text[]
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select p.ids::text[] from ml_internal.pages p
    where p.job = take_page.job and p.page = take_page.page and p.done_at is null
    for update
$$;
comment on function ml_internal.take_page(uuid, integer) is
    'Locks a page until the transaction ends; returns its patterns, null when it is done';
