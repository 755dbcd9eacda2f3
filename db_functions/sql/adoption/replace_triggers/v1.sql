-- The older triggers: the status logger gives way to ours, and the one that stamps updated_at keeps its function but
-- no longer fires for what the system itself writes. Their definitions are kept for the downgrade.
do $$
declare
    old  record;
begin
    for old in
        select t.tgname, t.tgenabled, pg_get_triggerdef(t.oid) as definition
        from pg_catalog.pg_trigger t
        where t.tgrelid = 'public.pattern_events'::regclass and not t.tgisinternal
          and t.tgname in ('pattern_events_updated_at', 'pattern_lifecycle_transition')
    loop
        update ml.adoption
        set triggers = triggers || jsonb_build_object('name', old.tgname, 'enabled', old.tgenabled, 'definition', old.definition)
        where relation = 'pattern_events';
        execute format('drop trigger %I on public.pattern_events', old.tgname);

        if old.tgname = 'pattern_events_updated_at' then
            execute case
                when old.definition like '% WHEN (%' then
                    regexp_replace(old.definition, ' WHEN \((.*)\) EXECUTE ',
                        ' WHEN ((current_setting(''ml.system_write'', true) is distinct from ''on'') and (\1)) EXECUTE ')
                else
                    replace(old.definition, ' EXECUTE ',
                        ' WHEN (current_setting(''ml.system_write'', true) is distinct from ''on'') EXECUTE ')
                end;
        end if;
    end loop;

    if not exists (select from pg_catalog.pg_trigger
                   where tgrelid = 'public.pattern_events'::regclass and tgname = 'pattern_events_updated_at') then
        create trigger pattern_events_updated_at before update on public.pattern_events
            for each row when (current_setting('ml.system_write', true) is distinct from 'on')
            execute function ml.touch_pattern();
    end if;

    if exists (select from pg_catalog.pg_attribute where attrelid = 'public.pattern_lifecycle_history'::regclass
               and attname = 'previous_status' and not attisdropped) then
        create trigger pattern_lifecycle_transition after update on public.pattern_events
            for each row when (old.status is distinct from new.status)
            execute function ml.log_status_columns();
    else
        create trigger pattern_lifecycle_transition after update on public.pattern_events
            for each row when (old.status is distinct from new.status)
            execute function ml.log_status();
    end if;
end
$$;
