-- The columns that we add to pattern_events. What an earlier script left under the same name and a
-- fitting type is kept. A check costs every INSERT and every score some 5 us, so there is none on
-- what our functions alone write and choose themselves.
do $$
declare
    rename     constant text := e'Run\n    alter table public.pattern_events rename column %1$I to '
                                '%1$s_before;\nand upgrade again; nothing has been changed.';
    drop_null  constant text := e'Run\n    alter table public.pattern_events alter column %I '
                                'drop not null;\nand upgrade again; nothing has been changed.';
    wanted     record;
    found    text;
    exactly  text;
    wide     text;
    col      pg_catalog.pg_attribute;
    old      record;
    fits     boolean;
begin
    for wanted in
        select * from (values
            ('detected_at',           'time',    'timestamptz', '',
             'the as-of time: no bar with a later ts is read for this row'),
            ('started_at',            'time',    'timestamptz', '',
             'when the pattern began to form'),
            ('direction',             'number',  'smallint',    'check (direction in (-1, 0, 1))',
             '1 bullish, -1 bearish, 0 unknown; filled from target against entry, or from verdict'),
            ('rule_confidence',       'number',  'double precision',
             'check (rule_confidence >= ''0'' and rule_confidence <= ''1'')',
             'the confidence of the application itself, 0 to 1'),
            ('blended_confidence',    'number',  'double precision', '',
             'weighted sum of ML and rule confidence, 0 to 1; confidence says what is served'),
            ('ml_confidence',         'number',  'double precision',
             'check (ml_confidence >= ''0'' and ml_confidence <= ''1'')',
             'calibrated probability of a positive outcome, 0 to 1; null until scored'),
            ('prediction_class',      'text',    'text', '',
             'the likeliest outcome: negative, neutral or positive'),
            ('model_version',         'text',    'text', '',
             'the model that made the score'),
            ('scored_at',             'time',    'timestamptz', '',
             'when the score was written, by the clock of the database'),
            ('prediction_latency_ms', 'number',  'double precision', '',
             'insert to score in milliseconds, by the clock of the database'),
            ('ml_metadata',           'jsonb',   'jsonb',
             'not null default ''{"source": "rule", "reason": "pending", "loaded": true}''',
             'how confidence was decided: source, reason, weights, threshold, settings version'),
            ('outcome_label',         'text',    'text', '',
             'what came of it: positive, negative or neutral; null until known'),
            ('outcome_at',            'time',    'timestamptz', '',
             'the bar that decided the outcome'),
            ('realized_pnl',          'number',  'double precision', '',
             'move from entry to exit over entry, in the direction of the pattern'),
            ('max_favorable_move',    'number',  'double precision', '',
             'largest move in the direction of the pattern until the outcome, over entry'),
            ('max_adverse_move',      'number',  'double precision', '',
             'largest move against it until the outcome, over entry'),
            ('bars_to_outcome',       'number',  'integer', '',
             'bars from detected_at to the outcome'),
            ('labeled_at',            'time',    'timestamptz', '',
             'when the outcome was written'),
            ('labeling_method',       'text',    'text', '',
             'who set the outcome: automatic, analyst or backfill')
        ) w (name, kind, type, rest, meaning)
    loop
        select a.* into col from pg_catalog.pg_attribute a
        where a.attrelid = 'public.pattern_events'::regclass and a.attname = wanted.name
          and not a.attisdropped;
        found := format_type(col.atttypid, null);
        exactly := format_type(col.atttypid, col.atttypmod);

        if found is null then
            if wanted.rest like 'check %' and not
               (select born from ml_internal.adoption where relation = 'pattern_events')
            then
                execute format('alter table public.pattern_events add column %I %s', wanted.name,
                               wanted.type);
                execute format('alter table public.pattern_events add constraint %I %s not valid',
                               'pattern_events_' || wanted.name || '_check', wanted.rest);
            else
                execute format('alter table public.pattern_events add column %I %s %s', wanted.name,
                               wanted.type, wanted.rest);
            end if;
            execute format('comment on column public.pattern_events.%I is %L', wanted.name,
                           wanted.meaning);
            update ml_internal.adoption set added = added || wanted.name
            where relation = 'pattern_events';
        elsif not (case wanted.kind
                when 'number' then found in ('double precision', 'real', 'numeric', 'smallint',
                                             'integer', 'bigint')
                when 'text' then found in ('text', 'character varying', 'character')
                when 'time' then found = 'timestamp with time zone'
                else found = wanted.kind
            end)
        then
            raise exception 'public.pattern_events.% has type %, expected a % type such as %',
                wanted.name, found, wanted.kind, wanted.type
                using errcode = 'datatype_mismatch', hint = format(rename, wanted.name);
        elsif col.attgenerated <> '' or col.attnotnull
              and wanted.name not in ('detected_at', 'direction', 'rule_confidence', 'ml_metadata')
        then
            raise exception 'public.pattern_events.% is %, and every score writes it', wanted.name,
                case when col.attgenerated <> '' then 'generated'
                     else 'not null, which it must be able to be' end
                using errcode = 'object_not_in_prerequisite_state',
                      hint = case when col.attgenerated <> '' then format(rename, wanted.name)
                                  else format(drop_null, wanted.name) end;
        else
            execute format('alter table ml_internal.adopted_values add column %I %s',
                           wanted.name, exactly);
            -- What we write has to fit, or no row could be scored. A length or a precision that
            -- goes rewrites no table.
            wide := case
                when found in ('numeric', 'character varying', 'timestamp with time zone')
                     and exactly <> found then found
                when wanted.type = 'double precision'
                     and found not in ('double precision', 'numeric') then 'double precision'
                when wanted.type = 'integer' and found = 'smallint' then 'integer'
                when found = 'character' then 'text'
            end;
            continue when wide is null;
            if col.attcollation <> (select t.typcollation from pg_catalog.pg_type t
                                    where t.oid = col.atttypid) then
                select format('%s collate %I.%I', wide, n.nspname, c.collname),
                       format('%s collate %I.%I', exactly, n.nspname, c.collname)
                into wide, exactly
                from pg_catalog.pg_collation c
                join pg_catalog.pg_namespace n on n.oid = c.collnamespace
                where c.oid = col.attcollation;
            end if;
            begin
                execute format('alter table public.pattern_events alter column %I type %s',
                               wanted.name, wide);
            exception when feature_not_supported then
                raise exception
                    'public.pattern_events.% has type %, too narrow, and cannot be widened: %',
                    wanted.name, exactly, sqlerrm
                    using errcode = 'datatype_mismatch',
                          hint = format('Drop what depends on it, or change its type to %s, then '
                                        'run the upgrade again; nothing has been changed.', wide);
            end;
            raise warning 'public.pattern_events.% was %, too narrow for a score: it is % now',
                wanted.name, exactly, wide;
            update ml_internal.adoption
            set widened = widened || jsonb_build_object('name', wanted.name, 'type', exactly,
                                                        'kind', wanted.kind)
            where relation = 'pattern_events';
        end if;
    end loop;

    if (select 'detected_at' = any (added) from ml_internal.adoption
        where relation = 'pattern_events')
    then
        alter table public.pattern_events alter column detected_at set default now();
    end if;

    -- A check that an earlier script put on one of these has words of its own; ours have to be
    -- allowed beside them.
    for old in
        select c.conname as name, pg_get_constraintdef(c.oid) as definition,
               pg_get_expr(c.conbin, c.conrelid) as condition,
               a.attname as column_name, w.ours
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and array[a.attnum] = c.conkey
        join (values ('outcome_label', array['positive', 'negative', 'neutral']),
                     ('labeling_method', array['automatic', 'analyst', 'backfill'])) w (name, ours)
            on w.name = a.attname
        join ml_internal.adoption f on f.relation = 'pattern_events' and w.name <> all (f.added)
        where c.conrelid = 'public.pattern_events'::regclass and c.contype = 'c'
    loop
        execute format('select bool_and(coalesce((%s), true)) from unnest(%L::text[]) ours (%I)',
                       old.condition, old.ours, old.column_name) into fits;
        continue when fits;
        update ml_internal.adoption
        set constraints = constraints || jsonb_build_object(
                'name', old.name, 'definition', old.definition,
                'condition', old.condition, 'column', old.column_name)
        where relation = 'pattern_events';
        execute format('alter table public.pattern_events drop constraint %I', old.name);
        execute format(
            'alter table public.pattern_events '
            'add constraint %I check ((%s) or %I = any (%L)) not valid',
            old.name, old.condition, old.column_name, old.ours);
    end loop;

    -- Room on the page for the score, which more than doubles a row, from some 290 to 640 bytes:
    -- the update then touches no index. At 50 half of the rows had to leave their page; at 30 none
    -- has to.
    alter table public.pattern_events set (fillfactor = 30);
end
$$;
