create procedure ml.set_triggers(enable boolean)
language plpgsql
as $$
declare
    t record;
begin
    if enable then
        for t in select name, state from pg_temp.ml_trigger_states loop
            execute format('alter table public.pattern_events %s trigger %I',
                case t.state when 'A' then 'enable always' when 'R' then 'enable replica' else 'enable' end, t.name);
        end loop;
        drop table pg_temp.ml_trigger_states;
    else
        create temporary table ml_trigger_states on commit drop as
            select tgname as name, tgenabled as state from pg_catalog.pg_trigger
            where tgrelid = 'public.pattern_events'::regclass and not tgisinternal and tgenabled <> 'D';
        for t in select name from pg_temp.ml_trigger_states loop
            execute format('alter table public.pattern_events disable trigger %I', t.name);
        end loop;
    end if;
end
$$;
comment on procedure ml.set_triggers(boolean) is 'Switches the triggers of pattern_events off, or back to what they were, inside one transaction';
