-- Fills what a scored row needs on rows that were there before the upgrade. One short transaction a batch, triggers
-- off inside it: the lock lets nobody write between the two, so no application ever runs without its triggers.
create procedure ml.adopt_rows(batch integer default 5000)
language plpgsql
as $$
declare
    last_id     uuid := '00000000-0000-0000-0000-000000000000';
    ids         uuid[];
    found_here  text[];
    has_created boolean;
    as_of       text;
begin
    if (select born from ml.adoption where relation = 'pattern_events') then
        return;
    end if;
    select string_agg(format('p.%I', attname), ', ' order by attname) into as_of
    from pg_catalog.pg_attribute
    where attrelid = 'public.pattern_events'::regclass and attname in ('created_at', 'updated_at') and not attisdropped;
    select array_agg(name) into found_here
    from unnest(array['rule_confidence', 'blended_confidence', 'ml_confidence', 'prediction_class', 'model_version', 'scored_at',
                      'prediction_latency_ms', 'ml_metadata', 'outcome_label', 'outcome_at', 'realized_pnl',
                      'max_favorable_move', 'max_adverse_move', 'bars_to_outcome', 'labeled_at', 'labeling_method']) name
    where name <> all (select unnest(added) from ml.adoption where relation = 'pattern_events');

    loop
        select array_agg(id order by id) into ids
        from (select id from public.pattern_events where id > last_id order by id limit batch) b;
        exit when ids is null;
        lock table public.pattern_events in share row exclusive mode;
        call ml.set_triggers(false);

        if found_here is not null then
            insert into ml.adopted_values (pattern_id, found)
            select p.id, to_jsonb(p) - (select array_agg(k) from jsonb_object_keys(to_jsonb(p)) k
                                        where k <> all (found_here || array['confidence']))
            from public.pattern_events p where p.id = any (ids) and p.direction is null
            on conflict do nothing;
        end if;
        execute format($fill$
            update public.pattern_events p
            set detected_at = coalesce(%s, now()),
                rule_confidence = coalesce(p.rule_confidence, p.confidence),
                direction = case
                    when abs(p.target) < 'Infinity' and abs(p.entry) < 'Infinity' and p.target <> p.entry
                        then sign(p.target - p.entry)
                    when p.verdict = 'bullish' then 1
                    when p.verdict = 'bearish' then -1
                    else 0
                end
            where p.id = any ($1) and p.direction is null
        $fill$, coalesce(as_of, 'null')) using ids;

        call ml.set_triggers(true);
        last_id := ids[cardinality(ids)];
        commit;
    end loop;
end
$$;
comment on procedure ml.adopt_rows(integer) is 'Fills detected_at, rule_confidence and direction on adopted rows, in batches; may be repeated';
