select m.version, m.onnx, m.sha256, m.algorithm, m.feature_names, m.metrics, m.drift_baseline,
       m.model_card
from ml.models m
where m.version = %(version)s
