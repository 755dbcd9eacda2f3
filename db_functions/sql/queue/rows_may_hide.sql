-- Row-level security can hide a pattern from the system itself: by a restrictive policy, or when
-- the system's own was dropped. A row that cannot be seen is then not proven to be gone.
create function ml_internal.rows_may_hide() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select c.relrowsecurity and (
        exists (select from pg_policy o where o.polrelid = c.oid and not o.polpermissive)
        or (select count(*) from pg_policy o, unnest(o.polroles) r
            where o.polrelid = c.oid and o.polname = 'ml_system'
              and r in ('ml_owner'::regrole, 'ml_writer'::regrole, 'ml_worker'::regrole)) < 3)
    from pg_class c where c.oid = 'public.pattern_events'::regclass
$$;
comment on function ml_internal.rows_may_hide() is
    'Internal: whether row-level security may hide patterns from the system itself';
