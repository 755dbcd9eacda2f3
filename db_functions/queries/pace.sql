-- How live rows fare while bulk work goes on: their latency in the last seconds, and the longest
-- wait. Without a worker that serves them, going slower would not help them.
select exists (select from ml_internal.live_workers w where w.kind = 'worker')
       and greatest(
           coalesce((select percentile_disc(0.99) within group (order by l.ms)
                     from (select b.* from ml_internal.batches b order by b.xid desc limit 500) b
                     cross join unnest(b.latency_ms) l (ms)
                     where b.source = 'live' and b.at > clock_timestamp() - interval '5 s'), 0),
           coalesce(q.oldest_age_ms, 0)) > s.sla_ms as slow
from ml.settings s cross join ml.queue_status q
