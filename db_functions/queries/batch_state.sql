-- The settings that a batch obeys, the champion it is to be scored with, and who challenges: model, share, canary.
select s.min_quality, s.benchmark_symbol, floor(extract(epoch from s.history_lag) * 1000000)::bigint,
       (select c.model_id from ml_internal.champion c),
       (select array_agg(array[a.model_id, a.share, a.canary] order by a.id)
        from ml.aliases a where a.alias = 'challenger' and a.valid_to is null)
from ml.settings s
