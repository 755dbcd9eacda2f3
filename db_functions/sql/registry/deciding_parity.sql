-- The role that runs workers may stop a model, and may not vouch for one that a publisher's check
-- failed, or never made.
create view ml_internal.deciding_parity with (security_invoker = true) as
select p.model_id, p.max_abs_diff, p.tolerance, p.rows, p.passed, p.runtime
from (select distinct on (c.model_id) c.model_id, c.id, c.passed
      from ml.parity_checks c
      where c.by_publisher
      order by c.model_id, c.id desc) own
join ml.parity_checks p on p.id = case
    when own.passed then (select max(c.id) from ml.parity_checks c where c.model_id = own.model_id)
    else own.id end;
comment on view ml_internal.deciding_parity is
    'The parity check that decides about a model: the newest, unless the newest by a publisher '
    'failed; none without one by a publisher';
