-- Everything that was ever counted, for counters that only grow: the daily counts, and what is not
-- folded yet.
select c.source, sum(c.rows)::bigint as rows, sum(c.scored)::bigint as scored,
       sum(c.below_threshold)::bigint as below_threshold, sum(c.ml_disabled)::bigint as ml_disabled,
       sum(c.no_model)::bigint as no_model, sum(c.insufficient_bars)::bigint as insufficient_bars,
       sum(c.low_quality)::bigint as low_quality, sum(c.failed)::bigint as failed,
       sum(c.timed)::bigint as timed, sum(c.within_sla)::bigint as within_sla,
       sum(c.cache_hits)::bigint as cache_hits, sum(c.cache_misses)::bigint as cache_misses,
       ml_internal.sum_arrays(c.latency) as latency,
       ml_internal.sum_arrays(c.inference) as inference
from ml_internal.metric_counts c
where c.grain = 'day' and c.role in ('champion', 'canary', 'standby')
group by c.source
order by c.source
