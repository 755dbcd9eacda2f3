-- Everything of a model that leaves with it.
select m.version, m.algorithm, m.onnx, m.sha256, m.golden, m.inputs, m.outputs, m.feature_names,
       m.metrics, m.model_card, m.toolchain
from ml.models m
where m.version = %(version)s
