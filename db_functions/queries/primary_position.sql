-- What was committed, on disk or not yet.
select pg_current_wal_insert_lsn()::text as position,
       (select c.system_identifier::text from pg_control_system() c) as system,
       current_database()::text as database
