-- The one home of the decision: why the effective confidence is what it is. 'scored' means that the
-- blend is served, everything else that the rule confidence is. The threshold is on certainty: a
-- calibrated 0.2 says as much as 0.8.
create function ml_internal.decide(
    ml double precision, rule double precision, reason text, enabled boolean,
    threshold double precision)
returns text
language sql immutable parallel safe
return case
    when ml is null then
        case when reason in ('no_model', 'insufficient_bars', 'low_quality', 'failed')
             then reason else 'pending' end
    when reason = 'low_quality' then reason
    when not enabled then 'ml_disabled'
    when greatest(ml, 1 - ml) < threshold and rule is not null then 'below_threshold'
    else 'scored'
end;
comment on function ml_internal.decide(
    double precision, double precision, text, boolean, double precision) is
    'The recorded reason of a row; the blend is served where it is "scored", the rule confidence '
    'elsewhere';
