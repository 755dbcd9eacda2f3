create view ml_internal.overdue_partitions with (security_invoker = true) as
select m.name, m.ends + s.keep_predictions as since
from ml.settings s
cross join (
    select c.relname as name,
           (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC'
               as ends
    from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'ml.predictions'::regclass
      and c.relname ~ '^predictions_[0-9]{4}_[0-9]{2}$') m
-- Only a month that is over its time to the last day.
where m.ends <= now() - s.keep_predictions;
comment on view ml_internal.overdue_partitions is
    'Months of ml.predictions that are past keep_predictions, and since when';
