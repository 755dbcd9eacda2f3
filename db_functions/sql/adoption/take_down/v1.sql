-- Back to what the upgrade found.
do $$
declare
    events      ml.adoption;
    old         record;
    name        text;
    options     text;
    holds_rows boolean;
begin
    select * into events from ml.adoption where relation = 'pattern_events';

    if events.born then
        foreach name in array array['pattern_events', 'price_bars'] loop
            execute format('select exists (select from public.%I)', name) into holds_rows;
            if holds_rows and exists (select from ml.adoption a where a.relation = name and a.born) then
                raise exception 'public.% was created by this system and holds rows; downgrading would drop them', name
                    using errcode = 'object_not_in_prerequisite_state',
                          hint = format('Save what you need, empty the table (truncate public.%I cascade) and downgrade again.', name);
            end if;
        end loop;
    end if;

    lock table public.pattern_events in access exclusive mode;
    drop trigger ml_1_intake on public.pattern_events;
    drop trigger ml_1_guard on public.pattern_events;
    drop trigger ml_2_blend on public.pattern_events;
    drop trigger ml_enqueue on public.pattern_events;
    drop trigger pattern_events_updated_at on public.pattern_events;
    drop trigger pattern_lifecycle_transition on public.pattern_events;
    drop trigger ml_1_check on public.price_bars;
    drop trigger ml_log_insert on public.price_bars;
    drop trigger ml_log_update on public.price_bars;
    drop trigger ml_log_delete on public.price_bars;
    drop trigger ml_log_truncate on public.price_bars;

    -- Whoever wrote since the batched restore, and values that stood in columns of ours before the upgrade. The foreign
    -- keys' own triggers are not touched.
    call ml.set_triggers(false);
    update public.pattern_events set confidence = rule_confidence
    where confidence is distinct from rule_confidence::double precision;
    for name in
        select k from ml.adopted_values v, jsonb_object_keys(v.found) k where k <> 'confidence' group by k order by k = 'rule_confidence'
    loop
        if name = 'rule_confidence' then
            -- A rule confidence that a client has changed since is the newer truth.
            update public.pattern_events p
            set confidence = (v.found ->> 'confidence')::double precision
            from ml.adopted_values v
            where v.pattern_id = p.id
              and p.rule_confidence::double precision is not distinct from
                  coalesce((v.found ->> 'rule_confidence')::double precision, (v.found ->> 'confidence')::double precision);
        end if;
        execute format(
            'update public.pattern_events p set %1$I = (jsonb_populate_record(p, v.found)).%1$I
             from ml.adopted_values v
             where v.pattern_id = p.id and p.%1$I is distinct from (jsonb_populate_record(p, v.found)).%1$I', name);
    end loop;
    call ml.set_triggers(true);

    if events.born then
        drop table public.pattern_lifecycle_history;
        drop table public.pattern_events;
        if not exists (select from pg_catalog.pg_depend where refobjid = 'public.pattern_status'::regtype and deptype = 'n') then
            drop type public.pattern_status;
        end if;
    else
        alter table public.pattern_events reset (fillfactor);
        if events.reloptions is not null then
            select string_agg(o, ', ') into options from unnest(events.reloptions) o;
            execute format('alter table public.pattern_events set (%s)', options);
        end if;
        foreach name in array events.added loop
            execute format('alter table public.pattern_events drop column %I', name);
        end loop;
        for old in select t.* from jsonb_to_recordset(events.triggers) t (name text, enabled "char", definition text) loop
            execute old.definition;
            if old.enabled <> 'O' then
                execute format('alter table public.pattern_events %s trigger %I',
                    case old.enabled when 'D' then 'disable' when 'A' then 'enable always' else 'enable replica' end, old.name);
            end if;
        end loop;
        if (select born from ml.adoption where relation = 'pattern_lifecycle_history') then
            drop table public.pattern_lifecycle_history;
        end if;
        revoke all on public.pattern_events from ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
    end if;

    if exists (select from public.price_bars limit 1) then
        raise notice 'public.price_bars holds rows and stays';
        revoke all on public.price_bars from ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
    else
        drop table public.price_bars;
    end if;
    if to_regclass('public.pattern_lifecycle_history') is not null then
        revoke all on public.pattern_lifecycle_history from ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
    end if;
    revoke all on schema public from ml_owner, ml_app, ml_worker, ml_analyst, ml_publisher, ml_operator;
end
$$;
drop schema ml cascade;
