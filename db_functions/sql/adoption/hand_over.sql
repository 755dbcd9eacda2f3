-- The updates of pattern_events belong to ml_writer, so that what an application has tied to them
-- runs with its rights and no other. Only to take a function over does a role need CREATE.
do $$
declare
    routine  regprocedure;
begin
    grant create on schema ml_internal to ml_writer;
    for routine in
        select p.oid from pg_catalog.pg_proc p
        where p.pronamespace = 'ml_internal'::regnamespace
          and p.proname in ('update_scores', 'update_publicly', 'update_labels',
                            'update_metadata', 'lock_patterns', 'can_reach')
    loop
        execute format('alter function %s owner to ml_writer', routine);
        execute format('grant execute on function %s to ml_owner', routine);
    end loop;
    revoke create on schema ml_internal from ml_writer;
end
$$;
