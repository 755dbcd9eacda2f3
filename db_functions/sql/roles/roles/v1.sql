-- The roles of the system. They are cluster-wide: another database's upgrade may create them at the same moment,
-- and downgrade keeps them.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['ml_owner', 'ml_app', 'ml_worker', 'ml_analyst', 'ml_publisher', 'ml_operator'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then
                    raise exception 'role % does not exist and % may not create it', wanted, current_user
                        using errcode = 'insufficient_privilege',
                              hint = format('Ask an administrator to run: create role %I nologin; grant %I to %I',
                                            wanted, wanted, current_user);
            end;
        end if;
    end loop;
    -- Handing objects to ml_owner takes membership in it.
    if not pg_has_role(current_user, 'ml_owner', 'MEMBER') then
        execute format('grant ml_owner to %I', current_user);
    end if;
end
$$;
