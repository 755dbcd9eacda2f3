-- Back to what the upgrade found.
do $$
declare
    events      ml_internal.adoption;
    old         record;
    name        text;
    rule_type   text;
    columns     text;
    changed     text;
    holds_rows  boolean;
    too_long    boolean;
    path        text := current_setting('search_path');
begin
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    -- Locked before it is looked at, so that no row slips in between.
    lock table public.pattern_events, public.price_bars in access exclusive mode;
    select * into strict events from ml_internal.adoption where relation = 'pattern_events';
    for name in select relation from ml_internal.adoption
        where events.born and born and relation in ('pattern_events', 'price_bars') loop
        execute format('select exists (select from public.%I)', name) into holds_rows;
        if holds_rows then
            raise exception 'public.% was created by this system and holds rows; '
                            'downgrading would drop them', name
                using errcode = 'object_not_in_prerequisite_state',
                      hint = format('Save what you need, empty the table '
                                    '(truncate public.%I cascade) and downgrade again.', name);
        end if;
    end loop;

    -- The older two as they stand now: whoever disabled one since has meant it.
    events.triggers := (
        select coalesce(jsonb_agg(t || coalesce((
                   select jsonb_build_object('enabled', n.tgenabled)
                   from pg_catalog.pg_trigger n
                   where n.tgrelid = 'public.pattern_events'::regclass
                     and n.tgname = t ->> 'name'), '{}')), '[]')
        from jsonb_array_elements(events.triggers) t);
    for old in
        select t.tgname, t.tgrelid::regclass as relation from pg_catalog.pg_trigger t
        where t.tgrelid in ('public.pattern_events'::regclass, 'public.price_bars'::regclass)
          and not t.tgisinternal
          and (t.tgname in ('pattern_events_updated_at', 'pattern_lifecycle_transition')
               or exists (select from pg_catalog.pg_proc p where p.oid = t.tgfoid
                          and p.pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)))
    loop
        execute format('drop trigger %I on %s', old.tgname, old.relation);
    end loop;
    for old in
        select distinct v.oid::regclass as name from pg_catalog.pg_depend d
        join pg_catalog.pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
        join pg_catalog.pg_class v on v.oid = r.ev_class
        where d.refobjid in ('public.pattern_events'::regclass, 'public.price_bars'::regclass)
          and v.relnamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
    loop
        execute format('drop view %s cascade', old.name);
    end loop;
    drop policy ml_system on public.pattern_events;
    drop policy ml_system on public.price_bars;

    -- Rows scored since the batched restore, and values that stood in our columns before
    -- the upgrade. The foreign keys' own triggers are not touched.
    call ml_internal.set_triggers(false);
    perform ml_internal.settle_rows(null);

    select format_type(a.atttypid, a.atttypmod) into rule_type from pg_catalog.pg_attribute a
    where a.attrelid = 'public.pattern_events'::regclass and a.attname = 'rule_confidence'
      and a.attname <> all (events.added);
    if rule_type is not null then
        -- Where a client has written a rule confidence since, that is the newer truth.
        execute format('update public.pattern_events p
                        set confidence = v.confidence, rule_confidence = v.rule_confidence
                        from ml_internal.adopted_values v
                        where v.pattern_id = p.id
                          and (p.rule_confidence is not distinct from
                                   coalesce(v.rule_confidence, v.confidence::text::numeric::%1$s)
                               or ml_internal.usable_rule(v.rule_confidence) is null
                                  and p.rule_confidence = v.confidence::text::numeric::%1$s)
                          and (p.confidence is distinct from v.confidence
                               or p.rule_confidence is distinct from v.rule_confidence)',
                       rule_type);
    end if;
    select string_agg(format('%1$I = v.%1$I', a.attname), ', '),
           string_agg(format('p.%1$I::text is distinct from v.%1$I::text', a.attname), ' or ')
    into columns, changed
    from pg_catalog.pg_attribute a
    where a.attrelid = 'ml_internal.adopted_values'::regclass and a.attnum > 0
      and not a.attisdropped
      and a.attname not in ('pattern_id', 'confidence', 'rule_confidence');
    if columns is not null then
        execute format(
            'update public.pattern_events p set %s '
            'from ml_internal.adopted_values v where v.pattern_id = p.id and (%s)',
            columns, changed);
    end if;
    for old in
        select c.*
        from jsonb_to_recordset(events.constraints) c (name text, definition text, condition text,
                                                       "column" text)
    loop
        -- Our labels on rows that came after the upgrade.
        execute format('alter table public.pattern_events drop constraint %I', old.name);
        execute format('update public.pattern_events set %I = null where not (%s)', old.column,
                       old.condition);
        execute format('alter table public.pattern_events add constraint %I %s', old.name,
                       old.definition);
    end loop;
    call ml_internal.set_triggers(true);

    -- Types as they were found. Numbers that came since are rounded; what would be cut or overflow
    -- keeps its column wide.
    for old in
        select w.* from jsonb_to_recordset(events.widened) w (name text, type text, kind text)
    loop
        begin
            execute format('select exists (select from public.pattern_events where %L = ''text'' '
                           'and %2$I::text <> %2$I::%3$s::text)', old.kind, old.name,
                           split_part(old.type, ' collate ', 1)) into too_long;
            if too_long then
                raise exception 'some values are longer' using errcode = '22001';
            end if;
            execute format('alter table public.pattern_events alter column %1$I type %2$s '
                           'using %1$I::%3$s',
                           old.name, old.type, split_part(old.type, ' collate ', 1));
        exception when data_exception or feature_not_supported then
            raise warning 'public.pattern_events.% was % and stays wide: %', old.name, old.type,
                sqlerrm;
        end;
    end loop;

    if (select born from ml_internal.adoption where relation = 'pattern_lifecycle_history') then
        if not events.born and exists (select from public.pattern_lifecycle_history) then
            raise warning 'public.pattern_lifecycle_history holds rows and stays';
        else
            drop table public.pattern_lifecycle_history;
        end if;
    end if;
    if events.born then
        drop function ml_internal.given_rule(public.pattern_events);
        drop table public.pattern_events;
    else
        alter table public.pattern_events reset (fillfactor);
        if events.reloptions is not null then
            execute format('alter table public.pattern_events set (%s)',
                           array_to_string(events.reloptions, ', '));
        end if;
        foreach name in array events.added loop
            execute format('alter table public.pattern_events drop column %I', name);
        end loop;
        for old in
            select t.*
            from jsonb_to_recordset(events.triggers) t (name text, enabled "char", definition text,
                                                        comment text)
        loop
            execute old.definition;
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
    end if;
    if exists (select from public.price_bars) then
        if (select born from ml_internal.adoption where relation = 'price_bars') then
            raise warning
                'public.price_bars holds rows and stays; the next upgrade takes it up again';
        end if;
    elsif (select born from ml_internal.adoption where relation = 'price_bars') then
        drop table public.price_bars;
    end if;
    if (select born from ml_internal.adoption where relation = 'pattern_status')
       and not exists (select from pg_catalog.pg_depend
                       where refclassid = 'pg_type'::regclass
                         and refobjid = 'public.pattern_status'::regtype and deptype = 'n')
    then
        drop type public.pattern_status;
    end if;

    for name in
        select 'table ' || c.oid::regclass::text from pg_catalog.pg_class c
        where c.oid in (to_regclass('public.pattern_events'),
                        to_regclass('public.pattern_lifecycle_history'),
                        to_regclass('public.price_bars'))
        union all select 'schema public'
    loop
        execute format(
            'revoke all on %s from ml_owner, ml_writer, ml_app, '
            'ml_worker, ml_analyst, ml_publisher, ml_operator', name);
    end loop;
    perform set_config('search_path', path, true);
end
$$;
drop schema ml, ml_internal cascade;
alter default privileges for role ml_owner grant execute on routines to public;
