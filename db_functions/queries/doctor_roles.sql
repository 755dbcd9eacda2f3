-- System roles that do not exist, whether this session may do what a worker does, and what
-- ml_owner does not own.
select (select array_agg(r)
        from unnest(array['ml_owner', 'ml_app', 'ml_worker', 'ml_analyst', 'ml_publisher',
                          'ml_operator']) r
        where not exists (select from pg_roles where rolname = r)) as missing,
       -- By the catalogue: a name cannot be looked up in a schema that may not be used.
       (select bool_or(has_function_privilege(p.oid, 'execute')) from pg_proc p
        where p.pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
          and p.proname = 'start_worker') as may_work,
       current_user as user_name,
       (select array_agg(o.name order by o.name)
        from (select oid::regprocedure::text as name, proowner as owner from pg_proc
              where pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
              union all
              select oid::regclass::text, relowner from pg_class
              where relnamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
                and relkind in ('r', 'p', 'v')) o
        where pg_get_userbyid(o.owner) <> 'ml_owner') as strays
