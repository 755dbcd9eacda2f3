-- The application's tables: created where they are missing, left as they are where they exist.
do $$
declare
    wanted text;
begin
    if to_regtype('public.pattern_status') is null then
        create type public.pattern_status as enum ('pending', 'confirmed', 'completed', 'invalidated', 'expired');
    end if;

    insert into ml.adoption (relation, born, reloptions)
    select r, to_regclass('public.' || r) is null,
           (select reloptions from pg_catalog.pg_class where oid = to_regclass('public.' || r))
    from unnest(array['pattern_events', 'pattern_lifecycle_history', 'price_bars']) r;

    if (select born from ml.adoption where relation = 'pattern_events') then
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
            constraint pattern_events_confidence_check check (confidence >= 0 and confidence <= 1),
            constraint pattern_events_verdict_check check (verdict in ('bullish', 'bearish', 'neutral'))
        );
        create index pattern_events_symbol_timeframe_idx on public.pattern_events (symbol, timeframe);
        create index pattern_events_created_at_idx on public.pattern_events (created_at desc);
        create index pattern_events_active_idx on public.pattern_events (status) where status in ('pending', 'confirmed');
        -- Time-ordered ids keep inserts on one page of the index; the function is there from PostgreSQL 18 on.
        if current_setting('server_version_num')::int >= 180000 then
            alter table public.pattern_events alter column id set default uuidv7();
        end if;
    end if;

    if (select born from ml.adoption where relation = 'pattern_lifecycle_history') then
        create table public.pattern_lifecycle_history (
            id                 uuid primary key default gen_random_uuid(),
            pattern_id         uuid not null references public.pattern_events (id) on delete cascade,
            old_status         public.pattern_status,
            new_status         public.pattern_status not null,
            transition_reason  text,
            metadata           jsonb default '{}',
            created_at         timestamptz default now()
        );
        create index pattern_lifecycle_history_pattern_id_idx on public.pattern_lifecycle_history (pattern_id);
        create index pattern_lifecycle_history_created_at_idx on public.pattern_lifecycle_history (created_at);
    end if;

    if (select born from ml.adoption where relation = 'price_bars') then
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
    else
        -- A table of this name that a downgrade left behind is ours; any other has to have its shape.
        for wanted in
            select w.name || ' ' || w.type from (values
                ('symbol', 'text'), ('timeframe', 'text'), ('ts', 'timestamp with time zone'),
                ('open', 'double precision'), ('high', 'double precision'), ('low', 'double precision'),
                ('close', 'double precision'), ('volume', 'double precision')) w (name, type)
            where not exists (
                select from information_schema.columns c
                where c.table_schema = 'public' and c.table_name = 'price_bars'
                  and c.column_name = w.name and c.data_type = w.type)
        loop
            raise exception 'public.price_bars exists but has no column %', wanted
                using errcode = 'duplicate_table',
                      hint = 'Rename the existing table, or give it the columns that docs/operators.md lists, and upgrade again.';
        end loop;
    end if;
end
$$;
