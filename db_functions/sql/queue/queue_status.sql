create view ml.queue_status with (security_invoker = true) as
select (select count(*) from ml.queue) as depth,
       (select enqueued_at from ml.queue order by id limit 1) as oldest_at,
       extract(epoch from clock_timestamp()
                          - (select enqueued_at from ml.queue order by id limit 1))
           * 1000 as oldest_age_ms,
       (select count(*) from ml.failures where redriven_at is null) as dead_letters;
comment on view ml.queue_status is 'What waits for a score, and since when';
