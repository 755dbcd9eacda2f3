-- Roles of ours that do not exist, and whether this session may do what a worker does.
select (select array_agg(r) from unnest(array['ml_owner', 'ml_app', 'ml_worker', 'ml_analyst', 'ml_publisher', 'ml_operator']) r
        where not exists (select from pg_roles where rolname = r)),
       has_function_privilege('ml.start_worker(text, integer, text, text)', 'execute'), current_user
