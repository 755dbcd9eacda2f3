-- The one place that says which processes live: a heartbeat is due every few seconds.
create view ml_internal.live_workers with (security_invoker = true) as
select w.* from ml.workers w
where w.stopped_at is null and w.last_seen > clock_timestamp() - interval '30 seconds';
comment on view ml_internal.live_workers is
    'Workers and backfills whose heartbeat is at most 30 seconds old';
