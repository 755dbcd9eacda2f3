-- A dump restored into another cluster brings transaction numbers that have no meaning there: where
-- that cluster has counted less far, new rows would look as if they had been seen. What was folded
-- before the dump is told from what was written here by its time, so a clock of this cluster that
-- is behind the dump's would make new rows look old.
create or replace function ml_internal.renumber_logs() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own  xid8;
begin
    lock table ml_internal.batches, ml_internal.tallies,
        ml_internal.outcome_changes in exclusive mode;
    -- What was folded before the dump goes; what is left, old and new, becomes this transaction's.
    delete from ml_internal.batches b
    where b.at <= (select min(f.folded_at) from ml_internal.folds f
                   where f.log in ('batches', 'cohorts'))
      and pg_visible_in_snapshot(
          b.xid, (select f.snapshot from ml_internal.folds f where f.log = 'batches'))
      and pg_visible_in_snapshot(
          b.xid, (select f.snapshot from ml_internal.folds f where f.log = 'cohorts'));
    delete from ml_internal.tallies t using ml_internal.folds f
    where f.log = 'tallies' and t.at <= f.folded_at and pg_visible_in_snapshot(t.xid, f.snapshot);
    delete from ml_internal.outcome_changes c using ml_internal.folds f
    where f.log = 'cohorts' and c.written_at <= f.folded_at
      and pg_visible_in_snapshot(c.xid, f.snapshot);
    own := pg_current_xact_id();
    update ml_internal.batches set xid = own;
    update ml_internal.tallies set xid = own;
    update ml_internal.outcome_changes set xid = own;
    -- Everything below this transaction has been seen, except what is still running: what the
    -- snapshot names, and what began between the last transaction that ended and this one.
    update ml_internal.folds set snapshot = (
        select format('%s:%s:%s', coalesce(min(r.x), own::text::numeric), own,
                      string_agg(r.x::text, ',' order by r.x))::pg_snapshot
        from pg_current_snapshot() s
        cross join lateral (
            select x::text::numeric from pg_snapshot_xip(s) x where x < own
            union all
            select x from generate_series(pg_snapshot_xmax(s)::text::numeric,
                                          own::text::numeric - 1) x) r (x)),
        cluster = (select c.system_identifier from pg_control_system() c);
end
$$;
comment on function ml_internal.renumber_logs() is
    'Internal: after a restore into another cluster, lets the logs be folded there';
