-- The way back of ml.adopt_rows, batched and with triggers off in the same way.
create procedure ml.restore_rows(batch integer default 5000)
language plpgsql
as $$
declare
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    ids     uuid[];
begin
    loop
        select array_agg(id order by id) into ids
        from (select id from public.pattern_events where id > last_id order by id limit batch) b;
        exit when ids is null;
        lock table public.pattern_events in share row exclusive mode;
        call ml.set_triggers(false);
        update public.pattern_events
        set confidence = rule_confidence
        where id = any (ids) and confidence is distinct from rule_confidence::double precision;
        call ml.set_triggers(true);
        last_id := ids[cardinality(ids)];
        commit;
    end loop;
end
$$;
comment on procedure ml.restore_rows(integer) is 'Puts rule_confidence back into confidence, in batches, for a downgrade';
