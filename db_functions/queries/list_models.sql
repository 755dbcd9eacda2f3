-- What serves first, then what may serve next, the newest first; what is retired last.
select l.version, l.algorithm, l.created_at, l.created_by, l.bytes, l.parity, l.state, l.brier,
       l.rule_brier
from (
    select m.id, m.version, m.algorithm, m.created_at, m.created_by, m.bytes,
           (select p.passed from ml_internal.deciding_parity p where p.model_id = m.id) as parity,
           case when exists (select from ml_internal.champion c where c.model_id = m.id)
                then 'champion'
                when exists (select from ml_internal.challengers c where c.model_id = m.id)
                then 'challenger'
                when m.retired_at is not null then 'retired'
                else 'registered' end as state,
           coalesce(m.metrics #>> '{with_rule,ml,brier,value}',
                    m.metrics #>> '{ml,brier,value}')::float8 as brier,
           (m.metrics #>> '{with_rule,rule,brier,value}')::float8 as rule_brier
    from ml.models m) l
order by array_position(array['champion', 'challenger', 'registered', 'retired'], l.state),
         l.id desc
