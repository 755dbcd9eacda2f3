-- What the upgrade cannot decide for an application: the rights of its triggers.
do $$
declare
    found  record;
begin
    for found in select * from ml_internal.foreign_triggers t where cardinality(t.lacks) > 0 loop
        raise warning 'trigger % of public.pattern_events fires when a score is written, as the '
                      'role ml_writer; until this has run, its rows become dead letters: %',
                      found.name, array_to_string(found.lacks, '; ');
    end loop;
    for found in
        select o.polname from pg_catalog.pg_policy o
        where o.polrelid = 'public.pattern_events'::regclass and not o.polpermissive
    loop
        raise warning 'policy % of public.pattern_events is restrictive: rows that it hides from '
                      'ml_owner, ml_writer or ml_worker become dead letters, and its expression '
                      'runs with their rights', found.polname;
    end loop;
end
$$;
