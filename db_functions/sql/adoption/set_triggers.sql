create or replace procedure ml_internal.set_triggers(enable boolean)
language plpgsql
as $$
declare
    states   jsonb;
    actions  text;
begin
    if enable then
        states := current_setting('ml.trigger_states')::jsonb;
    else
        select jsonb_object_agg(t.tgname, t.tgenabled) into states
        from pg_catalog.pg_trigger t
        where t.tgrelid = 'public.pattern_events'::regclass and not t.tgisinternal
          and t.tgenabled <> 'D';
        perform set_config('ml.trigger_states', coalesce(states, '{}')::text, true);
    end if;
    select string_agg(format('%s trigger %I', case
            when not enable then 'disable'
            when s.value = 'A' then 'enable always'
            when s.value = 'R' then 'enable replica'
            else 'enable' end, s.key), ', ')
    into actions from jsonb_each_text(states) s;
    if actions is not null then
        execute 'alter table public.pattern_events ' || actions;
    end if;
end
$$;
comment on procedure ml_internal.set_triggers(boolean) is
    'Switches the triggers of pattern_events off, or back '
    'to what they were, inside one transaction';
