-- What a batch obeys, and the oldest rows that nobody else is scoring; they stay locked until the transaction ends.
-- One row without a queue id where nothing waits.
select s.*, w.*
from (
-- include: batch_state
) s
left join (
    select q.id as queue_id, (extract(epoch from q.enqueued_at) * 1000000)::bigint,
-- include: pattern_columns
    from (select id, pattern_id, enqueued_at from ml.queue
          where id > %(after)s order by id limit %(limit)s for update skip locked) q
    left join public.pattern_events p on p.id = q.pattern_id
) w on true
order by w.queue_id
