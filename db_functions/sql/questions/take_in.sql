-- The intake of a question is the intake of a row: the text of the trigger's function, compiled for
-- another relation. A revision that changes ml_internal.intake_pattern runs this file again.
do $do$
begin
    execute format(
        'create or replace function ml_internal.take_in(new ml_internal.questions) '
        'returns ml_internal.questions language plpgsql stable '
        'set search_path = pg_catalog, pg_temp as %L',
        (select p.prosrc from pg_catalog.pg_proc p
         where p.oid = 'ml_internal.intake_pattern()'::regprocedure));
end
$do$;
comment on function ml_internal.take_in(ml_internal.questions) is
    'Internal: what ml_internal.intake_pattern makes of a row, for a question';
