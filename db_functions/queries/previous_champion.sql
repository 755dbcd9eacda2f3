-- The model that was champion before the current one, if it may still be used.
select a.model_id
from ml.aliases a join ml.models m on m.id = a.model_id
where a.alias = 'champion' and m.retired_at is null and a.model_id <> %(champion)s
order by a.id desc limit 1
