create view ml.queue_status with (security_invoker = true) as
select (select count(*) from ml.queue) as depth,
       (select enqueued_at from ml.queue order by id limit 1) as oldest_at,
       extract(epoch from clock_timestamp()
                          - (select enqueued_at from ml.queue order by id limit 1))
           * 1000 as oldest_age_ms,
       (select count(*) from ml.failures where redriven_at is null) as dead_letters;
comment on view ml.queue_status is 'What waits for a score, and since when';
comment on column ml.queue_status.depth is 'rows that wait for a score';
comment on column ml.queue_status.oldest_at is
    'when the oldest of them was inserted; null when none waits';
comment on column ml.queue_status.oldest_age_ms is
    'age of the oldest of them, milliseconds; null when none waits';
comment on column ml.queue_status.dead_letters is
    'patterns whose scoring failed and that were not redriven';
