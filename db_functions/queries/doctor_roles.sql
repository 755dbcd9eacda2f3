-- System roles that do not exist, whether this session may do what a worker does, and what
-- has not the owner that it should have: ml_writer the updates of pattern_events, ml_owner the
-- rest.
select (select array_agg(r)
        from unnest(array['ml_owner', 'ml_writer', 'ml_app', 'ml_worker', 'ml_analyst',
                          'ml_publisher', 'ml_operator']) r
        where not exists (select from pg_roles where rolname = r)) as missing,
       -- By the catalogue: a name cannot be looked up in a schema that may not be used.
       (select bool_or(has_function_privilege(p.oid, 'execute')) from pg_proc p
        where p.pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
          and p.proname = 'start_worker') as may_work,
       current_user as user_name,
       (select array_agg(o.name order by o.name)
        from (select oid::regprocedure::text as name, proowner as owner,
                     case when proname in ('update_scores', 'update_publicly', 'update_labels',
                                           'update_metadata', 'lock_patterns', 'can_reach')
                          then 'ml_writer' else 'ml_owner' end as wanted from pg_proc
              where pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
              union all
              select oid::regclass::text, relowner, 'ml_owner' from pg_class
              where relnamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
                and relkind in ('r', 'p', 'v')) o
        where pg_get_userbyid(o.owner) <> o.wanted) as strays
