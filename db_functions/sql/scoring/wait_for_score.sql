-- Each look has a snapshot of its own, as a statement of a READ COMMITTED transaction has. Runs as
-- its caller, who sees the rows that he may see.
create function ml.wait_for_score(
    id uuid, timeout interval default '5 s',
    out confidence double precision, out ml_confidence double precision, out source text,
    out reason text, out model_version text, out waited interval)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    began    constant timestamptz := clock_timestamp();
    pause_s  double precision := 0.001;
    writer   xid;
begin
    if id is null or timeout is null or timeout < '0' then
        raise exception 'ml.wait_for_score takes the id of a pattern and a timeout of 0 or more, '
                        'not (%, %)', id, timeout
            using errcode = 'invalid_parameter_value';
    end if;
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'this % transaction will not see a score that is written from now on',
                        current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state',
                  hint = 'Wait in a transaction of its own, at READ COMMITTED.';
    end if;
    loop
        select p.confidence, p.ml_confidence, coalesce(p.ml_metadata ->> 'source', 'rule'),
               coalesce(p.ml_metadata ->> 'reason', 'pending'), p.model_version, p.xmin
        into confidence, ml_confidence, source, reason, model_version, writer
        from public.pattern_events p where p.id = wait_for_score.id;
        if not found then
            raise exception 'there is no pattern % that % may see', id, current_user
                using errcode = 'no_data_found';
        end if;
        waited := clock_timestamp() - began;
        exit when reason <> 'pending' or waited >= timeout;
        if writer = pg_current_xact_id_if_assigned()::xid then
            raise exception 'pattern % was written by this very transaction, and is scored when it '
                            'has committed', id
                using errcode = 'invalid_transaction_state', hint = 'Commit, then wait.';
        end if;
        perform pg_sleep(least(pause_s, extract(epoch from timeout - waited)));
        pause_s := least(pause_s * 1.3, 0.05);
    end loop;
end
$$;
comment on function ml.wait_for_score(uuid, interval) is
    'Waits until a pattern is scored or has fallen back; at the time limit it answers with reason '
    'pending';
