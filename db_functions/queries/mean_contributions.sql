-- Of the scores of a model that were sampled: each feature's mean contribution, its sign aside, and
-- of how many scores.
select i.feature, i.mean_size, i.scores
from ml.attribution_importance i
where i.model_version = %(version)s and i.member is null
order by i.rank
