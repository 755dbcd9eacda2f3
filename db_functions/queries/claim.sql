-- The settings that a batch obeys, and the oldest rows that no other worker is scoring, locked
-- until the transaction ends. When nothing waits: one row without a queue id.
select s.*, w.*
from (
-- include: batch_settings
) s
left join (
    select q.id as queue_id,
           (extract(epoch from q.enqueued_at) * 1000000)::bigint as enqueued_at_us,
-- include: pattern_columns
    from (select id, pattern_id, enqueued_at from ml.queue
          where id > %(after)s order by id limit %(limit)s for update skip locked) q
    left join public.pattern_events p on p.id = q.pattern_id
) w on true
order by w.queue_id
