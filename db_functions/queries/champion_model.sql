-- The champion as a baseline: its file, and since when it has learned from no row, Unix seconds.
-- No row where that is unknown, and none for first passage: every model is compared with that.
select m.onnx, (m.metrics #>> '{trained,test_from}')::bigint as unseen_since
from ml.models m
where m.version = ml.model_at('champion', to_timestamp(%(moment)s)) and m.metrics ? 'trained'
    and m.algorithm <> 'first_passage'
