select s.enabled, s.threshold, s.benchmark_symbol,
       (select c.version from ml_internal.champion c) as champion,
       q.depth, q.oldest_age_ms, q.dead_letters,
       (select jsonb_agg(jsonb_build_object(
                   'id', w.id, 'kind', w.kind, 'host', w.host, 'pid', w.pid, 'model',
                   w.model_version, 'error', w.model_error,
                   'seen_s', round(extract(epoch from clock_timestamp() - w.last_seen)::numeric, 1),
                   'scored', w.scored, 'fallbacks', w.fallbacks, 'failed', w.failed) order by w.id)
        from ml_internal.live_workers w) as workers
from ml.settings s cross join ml.queue_status q
