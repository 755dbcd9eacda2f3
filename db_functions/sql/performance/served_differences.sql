-- What live rows of the champion were served since the settings of the blend last changed, beside
-- what they could have been: for a look now and then. error is what a normal variable exceeds by
-- three deviations; the alert served_worse, which looks all the time, takes the bounds of ml.skill.
create view ml_internal.served_differences with (security_invoker = true) as
select d.model_version, d.baseline, b.than, d.n, d.blocks, d.block_days, d.difference,
       ml_internal.t_quantile(0.99865, d.blocks - 1) * d.standard_error as error,
       case when isfinite(s.week) then s.week at time zone 'UTC' end as since
from (select ml_internal.blend_settled() as week) s
cross join lateral ml_internal.measure_differences(s.week) d
join ml_internal.champion c on c.version = d.model_version
join (values ('rule', 'the rule confidence'), ('ml', 'the model alone'),
             ('base_rate', 'their share of positive outcomes'),
             ('first_passage', 'first passage')) b (baseline, than) using (baseline)
where d.role = 'champion' and d.source = 'live' and d.score = 'served'
  and num_nulls(d.cohort, d.detected_month, d.pattern_type, d.timeframe) = 4;
comment on view ml_internal.served_differences is
    'Internal: how much worse (above 0) live rows were served than each baseline would have, since '
    'the blend is as it is; error: what chance explains';
