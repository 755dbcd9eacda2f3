create or replace function ml_internal.prune() returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    -- Readers of the log forget what they keep when they have not looked for a day.
    with changes as (
        delete from ml_internal.bar_changes where changed_at < now() - interval '7 days' returning 1
    ), batches as (
        -- What two folds have counted: metrics and cohorts, each up to a snapshot of its own.
        delete from ml_internal.batches b
        where b.xid < all (select pg_snapshot_xmin(f.snapshot) from ml_internal.folds f
                           where f.log in ('batches', 'cohorts'))
          and b.at < now() - interval '10 minutes'
        returning 1
    ), tallies as (
        delete from ml_internal.tallies t
        where t.xid < (select pg_snapshot_xmin(f.snapshot) from ml_internal.folds f
                       where f.log = 'tallies')
          and t.at < now() - interval '10 minutes'
        returning 1
    ), outcomes as (
        delete from ml_internal.outcome_changes c
        where c.xid < (select pg_snapshot_xmin(f.snapshot) from ml_internal.folds f
                       where f.log = 'cohorts')
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
