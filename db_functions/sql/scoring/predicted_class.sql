-- The one home of the predicted class; db_functions.contract.predicted_classes is the same for
-- NumPy.
create function ml_internal.predicted_class(probabilities real[]) returns text
language sql immutable parallel safe
return case greatest(probabilities[1], probabilities[2], probabilities[3])
    when probabilities[3] then 'positive'
    when probabilities[1] then 'negative'
    when probabilities[2] then 'neutral'
end;
comment on function ml_internal.predicted_class(real[]) is
    'The likeliest of negative, neutral and positive; of '
    'equal ones positive before negative before neutral';
