-- The roles of the system. They are cluster-wide: another database's upgrade may create them at the
-- same moment, and downgrade keeps them.
do $$
declare
    roles    constant text[] := array['ml_owner', 'ml_writer', 'ml_app', 'ml_worker', 'ml_analyst',
                                      'ml_publisher', 'ml_operator'];
    -- From 16 on membership alone neither inherits nor lets one hand objects over.
    options  constant text := case when current_setting('server_version_num')::integer >= 160000
                                   then ' with inherit true, set true' else '' end;
    wanted   text;
    missing  text[];
begin
    foreach wanted in array roles loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then null;
                when insufficient_privilege then missing := missing || wanted;
            end;
        end if;
    end loop;
    if missing is not null then
        raise exception 'these roles do not exist, and % may not create them: %',
                current_user, array_to_string(missing, ', ')
            using errcode = 'insufficient_privilege',
                  hint = format('Ask an administrator to run: %s '
                                'grant ml_owner, ml_writer to %I%s; '
                                'then upgrade again. Nothing has been changed.',
                                (select string_agg(format('create role %I nologin;', m), ' ')
                                 from unnest(missing) m),
                                current_user, options);
    end if;
    -- Handing objects to ml_owner and ml_writer, and using them afterwards, takes membership.
    foreach wanted in array array['ml_owner', 'ml_writer'] loop
        continue when pg_has_role(current_user, wanted, 'USAGE')
            and pg_has_role(current_user, wanted, case when options <> '' then 'SET'
                                                       else 'USAGE' end);
        begin
            execute format('grant %I to %I%s', wanted, current_user, options);
        exception when insufficient_privilege then
            raise exception '% is not a member of % and may not make itself one',
                    current_user, wanted
                using errcode = 'insufficient_privilege',
                      hint = format('Ask an administrator to run: '
                                    'grant ml_owner, ml_writer to %I%s; '
                                    'then upgrade again. Nothing has been changed.',
                                    current_user, options);
        end;
    end loop;
end
$$;
