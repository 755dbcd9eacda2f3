-- In a snapshot that is older than the gate's lock, the champion of before would still look like
-- the champion.
create function ml_internal.require_read_committed() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'this takes a transaction that is READ COMMITTED, not %',
            upper(current_setting('transaction_isolation'))
            using errcode = 'invalid_transaction_state',
                  hint = 'Begin it with: begin isolation level read committed';
    end if;
end
$$;
comment on function ml_internal.require_read_committed() is
    'Internal: refuses a transaction whose statements do not see what has just been committed';
