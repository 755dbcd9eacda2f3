-- Scorers queue up behind a session that waits for an exclusive lock. So it waits for a moment,
-- lets them through, and tries again: a writer that hangs delays a promotion, not the scores.
create function ml_internal.close_gate(hold boolean default true) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    given     constant text := current_setting('lock_timeout');
    patience  constant interval := case when given in ('0', '') then interval '10 seconds'
                                        else given::interval end;
    ends      constant timestamptz := clock_timestamp() + patience;
    wait_ms   integer := 25;
begin
    loop
        perform set_config('lock_timeout', wait_ms || 'ms', true);
        begin
            lock table ml_internal.gate in exclusive mode;
            exit when hold;
            -- Only what a subtransaction took can be given back before the transaction ends.
            raise exception 'open again' using errcode = 'ML000';
        exception
            when sqlstate 'ML000' then exit;
            when lock_not_available then
                if clock_timestamp() >= ends then
                    raise exception 'a session that writes scores has not ended its transaction '
                                    'for %', patience
                        using errcode = 'lock_not_available',
                              hint = 'pg_locks names it: select pid from pg_locks where '
                                     'relation = ''ml_internal.gate''::regclass and granted. '
                                     'End it with pg_terminate_backend, or try again.';
                end if;
        end;
        perform pg_sleep(least(wait_ms * 4 * random(), 1000 * extract(epoch from patience)) / 1000);
        wait_ms := least(wait_ms * 2, 200);
    end loop;
    perform set_config('lock_timeout', given, true);
end
$$;
comment on function ml_internal.close_gate(boolean) is
    'Internal: waits until no score is being written, and lets none be until the transaction ends, '
    'or not at all when hold is false';
