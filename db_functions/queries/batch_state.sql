-- The settings that a batch obeys, and the champion it is to be scored with.
select s.min_quality, s.benchmark_symbol, floor(extract(epoch from s.history_lag) * 1000000)::bigint,
       (select a.model_id from ml.aliases a where a.alias = 'champion' and a.valid_to is null)
from ml.settings s
