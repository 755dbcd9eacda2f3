select s.enabled, s.threshold, s.benchmark_symbol,
       (select m.version from ml.aliases a join ml.models m on m.id = a.model_id
        where a.alias = 'champion' and a.valid_to is null) as champion,
       q.depth, q.oldest_age_ms, q.dead_letters,
       (select jsonb_agg(jsonb_build_object(
                   'id', w.id, 'kind', w.kind, 'host', w.host, 'pid', w.pid, 'model', w.model_version, 'error', w.model_error,
                   'seen_s', round(extract(epoch from clock_timestamp() - w.last_seen)::numeric, 1),
                   'scored', w.scored, 'fallbacks', w.fallbacks, 'failed', w.failed) order by w.id)
        from ml.workers w where w.stopped_at is null and w.last_seen > clock_timestamp() - interval '30 seconds') as workers
from ml.settings s cross join ml.queue_status q
