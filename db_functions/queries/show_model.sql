select m.version, m.algorithm, m.sha256, m.created_at, m.created_by, m.contract_version, m.inputs,
       m.outputs, m.min_bars, cardinality(m.feature_names) as features, m.toolchain, m.model_card,
       m.retired_at, m.retired_reason
from ml.models m
where m.version = %(version)s
