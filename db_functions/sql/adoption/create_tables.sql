-- The application's tables: created where they are missing, left as they are where they exist.
do $$
declare
    wrong   text;
    alters  text;
begin
    insert into ml_internal.adoption (relation, born, reloptions)
    select r, to_regclass('public.' || r) is null,
           (select reloptions from pg_catalog.pg_class where oid = to_regclass('public.' || r))
    from unnest(array['pattern_events', 'pattern_lifecycle_history', 'price_bars']) r
    union all
    select 'pattern_status', to_regtype('public.pattern_status') is null, null;

    -- Rows that live in another relation fire none of our triggers.
    select string_agg(format('public.%s exists, but %s', a.relation, k.what), '; ') into wrong
    from ml_internal.adoption a
    join pg_catalog.pg_class c on c.oid = to_regclass('public.' || a.relation)
    cross join lateral (select case
        when c.relkind = 'f' then 'is a foreign table'
        when c.relkind not in ('r', 'p') then 'is not a table'
        when c.relkind = 'p' and a.relation = 'pattern_events' then 'is partitioned'
        when c.relispartition then 'is a partition of another table'
        when c.relkind = 'r' and exists (select from pg_catalog.pg_inherits i
                                         where c.oid in (i.inhrelid, i.inhparent))
            then 'inherits from another table, or is inherited from'
        when c.relpersistence <> 'p' and a.relation = 'pattern_events'
            then 'is unlogged, so a crash would leave scores without their rows'
    end as what) k
    where not a.born and k.what is not null;
    if wrong is not null then
        raise exception '%', wrong
            using errcode = 'wrong_object_type',
                  hint = 'Put a plain table in its place and upgrade again; '
                         'nothing has been changed.';
    end if;

    -- What is there has to be what its name says, before anything is built on it.
    select string_agg(format('    alter table public.%I %s;', w.relation, case
               when f.type is null then format('add column %I %s', w.name, w.type)
               else format('alter column %1$I type %2$s using %1$I::%2$s', w.name, w.type) end),
                      e'\n' order by w.n),
           string_agg(distinct 'public.' || w.relation, ', ')
    into alters, wrong
    from (select v.*, split_part(v.types, '|', 1) as type from (values
        (1, 'pattern_events', 'id', 'uuid'),
        (2, 'pattern_events', 'symbol', 'text|character varying'),
        (3, 'pattern_events', 'timeframe', 'text|character varying'),
        (4, 'pattern_events', 'pattern_type', 'text|character varying'),
        (5, 'pattern_events', 'status', 'public.pattern_status'),
        (6, 'pattern_events', 'confidence', 'double precision'),
        (7, 'pattern_events', 'target', 'double precision|real|numeric'),
        (8, 'pattern_events', 'entry', 'double precision|real|numeric'),
        (9, 'pattern_events', 'stoploss', 'double precision|real|numeric'),
        (10, 'pattern_events', 'support', 'double precision|real|numeric'),
        (11, 'pattern_events', 'resistance', 'double precision|real|numeric'),
        (12, 'pattern_events', 'metadata', 'jsonb'),
        (13, 'pattern_events', 'created_at',
         'timestamp with time zone|timestamp without time zone'),
        (14, 'pattern_events', 'updated_at',
         'timestamp with time zone|timestamp without time zone'),
        (15, 'pattern_events', 'completed_at',
         'timestamp with time zone|timestamp without time zone'),
        (16, 'pattern_events', 'verdict', 'text|character varying'),
        (17, 'pattern_events', 'rule_evaluation', 'jsonb'),
        (18, 'pattern_events', 'auto_generated', 'boolean'),
        (19, 'pattern_lifecycle_history', 'pattern_id', 'uuid'),
        (20, 'pattern_lifecycle_history', 'new_status',
         'public.pattern_status|text|character varying'),
        (21, 'price_bars', 'symbol', 'text'), (22, 'price_bars', 'timeframe', 'text'),
        (23, 'price_bars', 'ts', 'timestamp with time zone'),
        (24, 'price_bars', 'open', 'double precision'),
        (25, 'price_bars', 'high', 'double precision'),
        (26, 'price_bars', 'low', 'double precision'),
        (27, 'price_bars', 'close', 'double precision'),
        (28, 'price_bars', 'volume', 'double precision')
    ) v (n, relation, name, types)) w
    join ml_internal.adoption a on a.relation = w.relation and not a.born
    left join lateral (
        -- An enum by its own name, whatever the search path makes of it.
        select case when c.atttypid = to_regtype('public.pattern_status')
                    then 'public.pattern_status' else format_type(c.atttypid, null) end as type
        from pg_catalog.pg_attribute c
        where c.attrelid = to_regclass('public.' || w.relation) and c.attname = w.name
          and not c.attisdropped) f on true
    where f.type is null or f.type <> all (string_to_array(w.types, '|'));
    if wrong is not null then
        raise exception '% exists, but columns are missing or have another type', wrong
            using errcode = 'duplicate_table',
                  hint = format(e'Rename the table, or run\n%s\nand upgrade again; '
                                'nothing has been changed.', alters);
    end if;
    if not (select born from ml_internal.adoption where relation = 'price_bars')
       and not exists (
           select from pg_catalog.pg_index i
           where i.indrelid = to_regclass('public.price_bars') and i.indisunique
             and i.indpred is null and i.indexprs is null
             and (select array_agg(c.attname::text order by k.n)
                  from unnest(i.indkey::smallint[]) with ordinality k (attnum, n)
                  join pg_catalog.pg_attribute c on c.attrelid = i.indrelid and c.attnum = k.attnum
                  where k.n <= i.indnkeyatts) = array['symbol', 'timeframe', 'ts'])
    then
        raise exception 'public.price_bars exists, but has no unique key (symbol, timeframe, ts)'
            using errcode = 'duplicate_table',
                  hint = e'Rename the table, or run\n    alter table public.price_bars '
                         'add primary key (symbol, timeframe, ts);\nand upgrade again; '
                         'nothing has been changed.';
    end if;

    if (select born from ml_internal.adoption where relation = 'pattern_status') then
        create type public.pattern_status as enum (
            'pending', 'confirmed', 'completed', 'invalidated', 'expired');
    end if;

    if (select born from ml_internal.adoption where relation = 'pattern_events') then
        create table public.pattern_events (
            id                 uuid primary key default gen_random_uuid(),
            symbol             text not null,
            timeframe          text not null,
            pattern_type       text not null,
            status             public.pattern_status not null default 'pending',
            confidence         double precision,
            target             double precision,
            entry              double precision,
            stoploss           double precision,
            support            double precision,
            resistance         double precision,
            draw_commands      jsonb default '[]',
            metadata           jsonb default '{}',
            created_at         timestamptz default now(),
            updated_at         timestamptz default now(),
            completed_at       timestamptz,
            snapshot_url       text,
            operator_id        text,
            verdict            text,
            verdict_notes      text,
            rule_evaluation    jsonb default '{}',
            auto_generated     boolean default false,
            parent_pattern_id  uuid references public.pattern_events (id),
            constraint pattern_events_confidence_check
                check (confidence >= '0' and confidence <= '1'),
            constraint pattern_events_verdict_check
                check (verdict in ('bullish', 'bearish', 'neutral'))
        );
        comment on table public.pattern_events is
            'Detected chart patterns: one row each, scored by the system';
        comment on column public.pattern_events.id is 'the pattern';
        comment on column public.pattern_events.symbol is 'the instrument, as in price_bars';
        comment on column public.pattern_events.timeframe is 'length of a bar, as in price_bars';
        comment on column public.pattern_events.pattern_type is
            'the kind of pattern, such as double_bottom';
        comment on column public.pattern_events.status is
            'pending, confirmed, completed, invalidated or expired';
        comment on column public.pattern_events.confidence is
            'the effective confidence, 0 to 1; ml_metadata says whether it is blend or rule';
        comment on column public.pattern_events.target is
            'price at which the pattern has succeeded';
        comment on column public.pattern_events.entry is 'price at which it is entered';
        comment on column public.pattern_events.stoploss is 'price at which it has failed';
        comment on column public.pattern_events.support is 'price level below';
        comment on column public.pattern_events.resistance is 'price level above';
        comment on column public.pattern_events.draw_commands is
            'what the chart of the application draws';
        comment on column public.pattern_events.metadata is
            'anything of the application; the key market is a model input';
        comment on column public.pattern_events.created_at is 'when the row was inserted';
        comment on column public.pattern_events.updated_at is
            'when the application last changed the row';
        comment on column public.pattern_events.completed_at is
            'when it was completed, invalidated or expired';
        comment on column public.pattern_events.snapshot_url is 'picture of the chart';
        comment on column public.pattern_events.operator_id is 'the person who looked at it';
        comment on column public.pattern_events.verdict is
            'that person''s view: bullish, bearish or neutral';
        comment on column public.pattern_events.verdict_notes is 'that person''s words';
        comment on column public.pattern_events.rule_evaluation is
            'how the rules of the application judged it';
        comment on column public.pattern_events.auto_generated is
            'whether a program found the pattern';
        comment on column public.pattern_events.parent_pattern_id is
            'the pattern that this one came from';
        create index pattern_events_symbol_timeframe_idx
            on public.pattern_events (symbol, timeframe);
        create index pattern_events_created_at_idx on public.pattern_events (created_at desc);
        create index pattern_events_active_idx on public.pattern_events (status)
            where status in ('pending', 'confirmed');
        -- Time-ordered ids keep inserts on one page of the index; the function is there from
        -- PostgreSQL 18 on.
        if current_setting('server_version_num')::int >= 180000 then
            alter table public.pattern_events alter column id set default uuidv7();
        end if;
    end if;

    if (select born from ml_internal.adoption where relation = 'pattern_lifecycle_history') then
        create table public.pattern_lifecycle_history (
            id                 uuid primary key default gen_random_uuid(),
            pattern_id         uuid not null references public.pattern_events (id)
                on delete cascade,
            old_status         public.pattern_status,
            new_status         public.pattern_status not null,
            transition_reason  text,
            metadata           jsonb default '{}',
            created_at         timestamptz default now()
        );
        comment on table public.pattern_lifecycle_history is
            'Every change of a pattern''s status';
        comment on column public.pattern_lifecycle_history.id is 'the change';
        comment on column public.pattern_lifecycle_history.pattern_id is 'the pattern that changed';
        comment on column public.pattern_lifecycle_history.old_status is 'status before';
        comment on column public.pattern_lifecycle_history.new_status is 'status after';
        comment on column public.pattern_lifecycle_history.transition_reason is
            'why, as rule_evaluation gives it; manual where it gives none';
        comment on column public.pattern_lifecycle_history.metadata is
            'the confidences at that moment';
        comment on column public.pattern_lifecycle_history.created_at is 'when it changed';
        create index pattern_lifecycle_history_pattern_id_idx
            on public.pattern_lifecycle_history (pattern_id);
        create index pattern_lifecycle_history_created_at_idx
            on public.pattern_lifecycle_history (created_at);
    end if;

    if (select born from ml_internal.adoption where relation = 'price_bars') then
        create table public.price_bars (
            symbol     text not null,
            timeframe  text not null,
            ts         timestamptz not null,
            open       double precision not null,
            high       double precision not null,
            low        double precision not null,
            close      double precision not null,
            volume     double precision,
            primary key (symbol, timeframe, ts)
        );
        comment on table public.price_bars is 'Closed price bars';
        comment on column public.price_bars.ts is
            'The instant the bar is complete; feeds stamped at the open must be shifted by one bar';
        comment on column public.price_bars.symbol is 'the instrument';
        comment on column public.price_bars.timeframe is 'length of the bar, such as 1h or 1d';
        comment on column public.price_bars.open is 'first price';
        comment on column public.price_bars.high is 'highest price';
        comment on column public.price_bars.low is 'lowest price';
        comment on column public.price_bars.close is 'last price';
        comment on column public.price_bars.volume is 'traded volume; may be null';
    end if;
end
$$;
