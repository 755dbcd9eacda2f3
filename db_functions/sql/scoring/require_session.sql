-- In a snapshot that is older than the gate's lock, the champion of before would still look like
-- the champion; and where triggers do not fire, no score would be blended.
create function ml_internal.require_session() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'this takes a transaction that is READ COMMITTED, not %',
            upper(current_setting('transaction_isolation'))
            using errcode = 'invalid_transaction_state',
                  hint = 'Begin it with: begin isolation level read committed';
    end if;
    if current_setting('session_replication_role') = 'replica' then
        raise exception 'triggers do not fire in this session: session_replication_role is replica'
            using errcode = 'invalid_transaction_state',
                  hint = 'Take the setting away from the role or the database.';
    end if;
end
$$;
comment on function ml_internal.require_session() is
    'Internal: refuses a session in which champions and blends could not be told apart';
