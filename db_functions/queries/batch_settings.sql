-- The settings that a batch obeys, the champion that scores it, and the challengers: model, share,
-- canary.
select s.min_quality, s.benchmark_symbol as benchmark,
       floor(extract(epoch from s.history_lag) * 1000000)::bigint as history_lag_us,
       (select c.model_id from ml_internal.champion c) as champion,
       (select array_agg(array[c.model_id, c.share, c.canary] order by c.alias_id)
        from ml_internal.challengers c) as challengers
from ml.settings s
