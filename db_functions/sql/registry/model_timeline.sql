create view ml.model_timeline with (security_invoker = true) as
select a.alias, m.version, m.algorithm, a.cause, a.forced, a.valid_from, a.valid_to, a.set_by, a.reason
from ml.aliases a join ml.models m on m.id = a.model_id
order by a.valid_from desc;
comment on view ml.model_timeline is 'What served when, set by whom and why';
