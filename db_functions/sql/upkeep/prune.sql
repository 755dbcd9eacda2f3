create or replace function ml_internal.prune() returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    -- Of bar changes those that every reader has heard of: see ml_internal.bar_horizon. A
    -- transaction number that is still to come is one from another cluster, out of a dump.
    with horizon as materialized (
        select h.snapshot from ml_internal.bar_horizon h
        where h.taken_at not between now() - interval '1 hour' and now()
        for update skip locked
    ), turned as (
        update ml_internal.bar_horizon
        set turn = turn + 1, snapshot = pg_current_snapshot(), taken_at = now()
        where exists (select from horizon)
    ), changes as (
        delete from ml_internal.bar_changes b using horizon h
        where (b.xid < pg_snapshot_xmax(h.snapshot) and pg_visible_in_snapshot(b.xid, h.snapshot)
               and pg_snapshot_xmax(h.snapshot) <= pg_snapshot_xmax(pg_current_snapshot()))
           or b.xid > pg_snapshot_xmax(pg_current_snapshot())
        returning 1
    ), batches as (
        -- What two folds have counted: metrics and cohorts, each up to a snapshot of its own.
        delete from ml_internal.batches b
        where not exists (select from ml_internal.folds f
                          where f.log in ('batches', 'cohorts')
                            and not pg_visible_in_snapshot(b.xid, f.snapshot))
          and b.at < now() - interval '10 minutes'
        returning 1
    ), tallies as (
        delete from ml_internal.tallies t
        where pg_visible_in_snapshot(t.xid, (select f.snapshot from ml_internal.folds f
                                             where f.log = 'tallies'))
          and t.at < now() - interval '10 minutes'
        returning 1
    ), outcomes as (
        delete from ml_internal.outcome_changes c
        where pg_visible_in_snapshot(c.xid, (select f.snapshot from ml_internal.folds f
                                             where f.log = 'cohorts'))
        returning 1
    ), minutes as (
        delete from ml_internal.metric_rollups r using ml.settings s
        where r.grain = 'minute' and r.bucket < now() - s.keep_minutes
        returning 1
    ), pairs as (
        delete from ml_internal.shadow_pairs p using ml.settings s
        where p.scored_at < now() - s.keep_predictions
        returning 1
    ), notes as (
        delete from ml_internal.altered_writes a where a.at < now() - interval '7 days' returning 1
    ), refusals as (
        delete from ml_internal.refusals r where r.refused_at < now() - interval '7 days'
        returning 1
    ), attributions as (
        -- With the predictions that they explain, which go by whole partitions.
        delete from ml_internal.attributed_scores a using ml.settings s
        where a.scored_at < now() - s.keep_predictions
        returning 1
    )
    select ((select count(*) from changes) + (select count(*) from batches)
            + (select count(*) from tallies) + (select count(*) from outcomes)
            + (select count(*) from minutes) + (select count(*) from pairs)
            + (select count(*) from notes) + (select count(*) from refusals)
            + (select count(*) from attributions))::integer
$$;
comment on function ml_internal.prune() is
    'Removes log entries that no reader needs any more, '
    'and counts past their time; returns how many';
