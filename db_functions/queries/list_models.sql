select m.version, m.algorithm, m.created_at, m.created_by, m.bytes,
       (select p.passed from ml_internal.deciding_parity p where p.model_id = m.id) as parity,
       case when exists (select from ml_internal.champion c where c.model_id = m.id)
            then 'champion'
            when exists (select from ml_internal.challengers c where c.model_id = m.id)
            then 'challenger'
            when m.retired_at is not null then 'retired'
            else 'registered' end as state,
       (m.metrics #>> '{with_rule,ml,brier,value}')::float8 as brier,
       (m.metrics #>> '{with_rule,rule,brier,value}')::float8 as rule_brier
from ml.models m
order by m.id
