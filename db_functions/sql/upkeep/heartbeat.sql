create or replace function ml_internal.heartbeat(
    worker bigint, model_version text, model_error text, batches bigint, scored bigint,
    fallbacks bigint, failed bigint,
    cache_hits bigint, cache_misses bigint, stopping boolean default false) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    update ml.workers w
    set last_seen = clock_timestamp(), model_version = heartbeat.model_version,
        model_error = heartbeat.model_error, batches = heartbeat.batches, scored = heartbeat.scored,
        fallbacks = heartbeat.fallbacks, failed = heartbeat.failed,
        cache_hits = heartbeat.cache_hits, cache_misses = heartbeat.cache_misses,
        stopped_at = case when stopping then clock_timestamp() end
    where w.id = worker
$$;
comment on function ml_internal.heartbeat(bigint, text, text, bigint, bigint, bigint, bigint,
                                          bigint, bigint, boolean) is
    'A worker says that it lives, what it serves and what it has done since its start';
