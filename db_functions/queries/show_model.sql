select m.version, m.algorithm, m.sha256, m.created_at, m.created_by, m.contract_version, m.inputs,
       m.outputs, m.min_bars, cardinality(m.feature_names) as features, m.toolchain, m.model_card,
       m.retired_at, m.retired_reason,
       (select jsonb_agg(jsonb_build_object('max_abs_diff', p.max_abs_diff, 'rows', p.rows,
                                            'passed', p.passed,
                                            'runtime', p.runtime, 'at', p.checked_at) order by p.id)
        from ml.parity_checks p where p.model_id = m.id) as parity_checks
from ml.models m
where m.version = %(version)s
