-- Which worker scored a row.
select w.id, w.host from ml.predictions p join ml.workers w on w.id = p.worker_id
where p.pattern_id = %(id)s order by p.scored_at desc limit 1
