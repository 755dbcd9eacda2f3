-- Which transactions a snapshot did not show: those that ran when it was taken, and all that began
-- later. A log is looked up by these, so that a transaction that stays open, anywhere in the
-- cluster, does not make its readers go back to where it began.
create function ml_internal.unseen(snapshot pg_snapshot)
    returns table (low xid8, high xid8)
language sql stable
begin atomic
    select pg_snapshot_xmax(snapshot), '18446744073709551615'::xid8
    union all
    select x, x from pg_snapshot_xip(snapshot) x;
end;
comment on function ml_internal.unseen(pg_snapshot) is
    'Ranges of the transaction numbers that a snapshot did not show';
