-- Everything that was ever counted, for counters that only grow: the daily counts, and what is not folded yet.
select c.source, sum(c.rows)::bigint, sum(c.scored)::bigint, sum(c.below_threshold)::bigint, sum(c.ml_disabled)::bigint,
       sum(c.no_model)::bigint, sum(c.insufficient_bars)::bigint, sum(c.low_quality)::bigint, sum(c.failed)::bigint,
       sum(c.timed)::bigint, sum(c.within_sla)::bigint, sum(c.cache_hits)::bigint, sum(c.cache_misses)::bigint,
       ml_internal.sum_arrays(c.latency), ml_internal.sum_arrays(c.inference)
from ml_internal.metric_counts c
where c.grain = 'day' and c.role in ('champion', 'canary', 'standby')
group by c.source
order by c.source
