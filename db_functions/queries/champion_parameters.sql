-- Arguments, other than by default, of the learners that the champion was trained with.
select m.metrics -> 'parameters' as parameters
from ml.models m
where m.version = ml.model_at('champion', clock_timestamp()) and m.metrics ? 'parameters'
