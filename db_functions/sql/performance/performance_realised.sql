create view ml.performance_realised with (security_invoker = true) as
select c.cohort, m.version as model_version, c.role, c.source, c.pattern_type, c.timeframe, c.score,
       c.predictions, c.labelled,
       c.labelled::double precision / nullif(c.predictions, 0) as matured,
       c.positives::double precision / nullif(c.labelled, 0) as base_rate,
       ml_internal.wilson(c.positives, c.labelled, -1) as base_rate_low,
       ml_internal.wilson(c.positives, c.labelled, 1) as base_rate_high,
       c.labelled_called as called,
       c.hits::double precision / nullif(c.labelled_called, 0) as precision,
       ml_internal.wilson(c.hits, c.labelled_called, -1) as precision_low,
       ml_internal.wilson(c.hits, c.labelled_called, 1) as precision_high,
       c.hits::double precision / nullif(c.positives, 0) as recall,
       ml_internal.wilson(c.hits, c.positives, -1) as recall_low,
       ml_internal.wilson(c.hits, c.positives, 1) as recall_high,
       c.error / nullif(c.labelled, 0) as brier, c.log_loss / nullif(c.labelled, 0) as log_loss,
       c.pairs / nullif(c.positives::double precision * (c.labelled - c.positives), 0) as roc_auc,
       g.compared, g.gain, g.gain - g.half as gain_low, g.gain + g.half as gain_high
from ml_internal.cohort_counts c
join ml.models m on m.id = c.model_id
cross join lateral (
    select case when c.score <> 'rule' then c.compared end as compared,
           case when c.score <> 'rule' and c.compared > 0 then c.gain / c.compared end as gain,
           case when c.score <> 'rule' and c.compared > 1 then
               1.959963984540054 * sqrt(
                   greatest(0, c.gain_squares - c.gain * c.gain / c.compared)
                   / (c.compared - 1.0) / c.compared)
               end as half
) g;
comment on view ml.performance_realised is
    'How good predictions turned out to be, of the model, the rule and the '
    'blend, by week, pattern type and timeframe, and in all (null)';
