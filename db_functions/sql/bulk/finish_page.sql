create function ml_internal.finish_page(job uuid, page integer, found jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    update ml_internal.pages p set done_at = clock_timestamp(), found = finish_page.found
    where p.job = finish_page.job and p.page = finish_page.page and p.done_at is null
$$;
comment on function ml_internal.finish_page(uuid, integer, jsonb) is
    'The entry in the ledger, in the transaction that writes the rows of the page';
