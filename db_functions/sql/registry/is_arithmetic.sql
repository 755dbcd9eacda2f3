create function ml_internal.is_arithmetic(algorithm text, metrics jsonb) returns boolean
language sql immutable parallel safe
return algorithm = 'first_passage'
    or metrics #>> '{candidates,kept}' is not distinct from 'first_passage';
comment on function ml_internal.is_arithmetic(text, jsonb) is
    'Internal: whether a model of this algorithm and these metrics is first passage alone';
