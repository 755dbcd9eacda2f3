-- The one home of the blend's arithmetic. Postgres raises where a product is too small for a
-- double; a part so small is none.
create function ml_internal.blended(
    ml double precision, rule double precision, ml_weight double precision,
    rule_weight double precision)
returns double precision
language sql immutable parallel safe
return case
    -- Without a rule confidence there is nothing to blend with: ML stands alone.
    when ml is null or rule is null then ml
    else greatest(0, least(1,
        case when least(ml, ml_weight) < 1e-150 then 0 else ml_weight * ml end
        + case when least(rule, rule_weight) < 1e-150 then 0 else rule_weight * rule end))
end;
comment on function ml_internal.blended(
    double precision, double precision, double precision, double precision) is
    'The weighted sum of ML and rule confidence, held in 0 to '
    '1; ML alone where there is no rule confidence';
