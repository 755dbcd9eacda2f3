create or replace function ml_internal.start_worker(host text, pid integer, version text, kind text)
    returns bigint
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ml.workers (host, pid, version, kind) values (host, pid, version, kind) returning id
$$;
comment on function ml_internal.start_worker(text, integer, text, text) is
    'A worker reports for duty; returns its id';
