-- Every parity check of a model, oldest first.
select p.checked_at as at, p.passed, p.max_abs_diff, p.rows, p.runtime
from ml.parity_checks p
join ml.models m on m.id = p.model_id
where m.version = %(version)s
order by p.id
