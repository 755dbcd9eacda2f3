-- The way back of ml_internal.adopt_rows, batched and with triggers off in the same way.
create or replace procedure ml_internal.restore_rows(batch integer default 5000)
language plpgsql
as $$
declare
    next_id   uuid := '00000000-0000-0000-0000-000000000000';
    ids       uuid[];
    refusals  integer := 0;
begin
    if batch is null or batch < 1 then
        raise exception 'batch is %; allowed: 1 or more', batch
            using errcode = 'invalid_parameter_value';
    end if;
    while next_id is not null loop
        perform set_config('search_path', 'pg_catalog, pg_temp', true);
        begin
            lock table public.pattern_events in share row exclusive mode;
        exception when lock_not_available then
            refusals := refusals + 1;
            if refusals > 5 then
                raise;
            end if;
            commit;
            continue;
        end;
        select array_agg(b.id order by b.id) into ids
        from (select p.id from public.pattern_events p where p.id >= next_id order by p.id
              limit batch + 1) b;
        next_id := ids[batch + 1];
        call ml_internal.set_triggers(false);
        perform ml_internal.settle_rows(ids[:batch]);
        call ml_internal.set_triggers(true);
        commit;
        refusals := 0;
    end loop;
end
$$;
comment on procedure ml_internal.restore_rows(integer) is
    'Puts rule_confidence back into confidence, in batches, for a downgrade';
