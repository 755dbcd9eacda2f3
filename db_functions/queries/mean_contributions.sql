-- Each feature's mean contribution to the sampled scores of a model, signs aside, with its
-- error and how many scores.
select i.feature, i.mean_size, i.mean_standard_error, i.scores
from ml.attribution_importance i
where i.model_version = %(version)s and i.member is null
order by i.rank
