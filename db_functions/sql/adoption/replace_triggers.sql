-- The older triggers: the status logger gives way to ours, and the one that stamps updated_at keeps
-- its function but no longer fires for what the system itself writes, through functions that run as
-- ml_writer. Their definitions are kept for the downgrade.
do $$
declare
    old     record;
    path    text := current_setting('search_path');
    logger  text := 'ml_internal.log_status';
begin
    -- With an empty path definitions are spelled out in full, whoever runs the downgrade.
    perform set_config('search_path', '', true);
    update ml_internal.adoption
    set triggers = coalesce((
            select jsonb_agg(jsonb_build_object(
                'name', t.tgname, 'enabled', t.tgenabled, 'definition', pg_get_triggerdef(t.oid),
                'comment', obj_description(t.oid, 'pg_trigger')) order by t.tgname)
            from pg_catalog.pg_trigger t
            where t.tgrelid = 'public.pattern_events'::regclass and not t.tgisinternal
              and t.tgname in ('pattern_events_updated_at', 'pattern_lifecycle_transition')), '[]')
    where relation = 'pattern_events';

    for old in
        select t.name, t.definition
        from ml_internal.adoption a, jsonb_to_recordset(a.triggers) t (name text, definition text)
        where a.relation = 'pattern_events'
    loop
        execute format('drop trigger %I on public.pattern_events', old.name);
        if old.name = 'pattern_events_updated_at' then
            execute case
                when old.definition like '% WHEN (%' then
                    regexp_replace(old.definition, ' WHEN [(](.*)[)] EXECUTE ',
                        E' WHEN ((current_user is distinct from ''ml_writer'') and (\\1)) EXECUTE ')
                else
                    replace(old.definition, ' EXECUTE ',
                        ' WHEN (current_user is distinct from ''ml_writer'') EXECUTE ')
                end;
        end if;
    end loop;

    if not exists (select from pg_catalog.pg_trigger
                   where tgrelid = 'public.pattern_events'::regclass
                     and tgname = 'pattern_events_updated_at') then
        create trigger pattern_events_updated_at before update on public.pattern_events
            for each row when (current_user is distinct from 'ml_writer')
            execute function ml_internal.touch_pattern();
    end if;
    if exists (select from pg_catalog.pg_attribute
               where attrelid = 'public.pattern_lifecycle_history'::regclass
                 and attname = 'previous_status' and not attisdropped) then
        logger := 'ml_internal.log_status_columns';
    end if;
    execute format('create trigger pattern_lifecycle_transition
                    after update on public.pattern_events
                    for each row when (old.status is distinct from new.status)
                    execute function %s()', logger);

    -- What a user had switched off stays off.
    for old in
        select t.*
        from ml_internal.adoption a,
             jsonb_to_recordset(a.triggers) t (name text, enabled "char", comment text)
        where a.relation = 'pattern_events'
    loop
        if old.enabled <> 'O' then
            execute format('alter table public.pattern_events %s trigger %I',
                case old.enabled when 'D' then 'disable' when 'A' then 'enable always'
                     else 'enable replica' end, old.name);
        end if;
        if old.comment is not null then
            execute format('comment on trigger %I on public.pattern_events is %L', old.name,
                           old.comment);
        end if;
    end loop;
    perform set_config('search_path', path, true);
end
$$;
