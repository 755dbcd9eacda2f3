-- A writer of scores passes this gate (row share mode), and a change of what serves closes it
-- (exclusive mode), so that every score's model is the champion of its moment. It is a table, since
-- any role can take an advisory lock: to lock a table takes a right on it. pg_dump's lock (access
-- share) meets neither.
create table ml_internal.gate ();
comment on table ml_internal.gate is
    'Empty: its lock keeps writers of scores and changes of the champion apart';
