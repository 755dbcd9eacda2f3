-- The one place where the champion is looked up. A left join, so that a question for the model
-- alone reads no model.
create view ml_internal.champion with (security_invoker = true) as
select a.id as alias_id, a.model_id, m.version, a.valid_from, a.restores
from ml.aliases a left join ml.models m on m.id = a.model_id
where a.alias = 'champion' and a.valid_to is null;
comment on view ml_internal.champion is 'The model that serves now; no row while there is none';
