-- The one place where challengers are looked up, as ml_internal.champion is for the champion. A
-- left join, so that a question for the models alone reads no model.
create view ml_internal.challengers with (security_invoker = true) as
select a.id as alias_id, a.model_id, m.version, a.share, a.canary, a.valid_from
from ml.aliases a left join ml.models m on m.id = a.model_id
where a.alias = 'challenger' and a.valid_to is null;
comment on view ml_internal.challengers is
    'The models that score beside the champion now, with their shares';
