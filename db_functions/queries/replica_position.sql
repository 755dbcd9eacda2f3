select pg_is_in_recovery() as is_replica,
       coalesce(pg_wal_lsn_diff(%(position)s::pg_lsn, pg_last_wal_replay_lsn()),
                0)::bigint as behind,
       (select c.system_identifier::text from pg_control_system() c) as system,
       current_database()::text as database
