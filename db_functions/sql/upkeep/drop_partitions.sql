create or replace function ml_internal.drop_partitions() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- Scorers would wait behind a session that waits to drop a month that a query is reading. So this
-- one gives up soon, and tries again next time.
set lock_timeout = '100ms'
as $$
declare
    month    record;
    dropped  integer := 0;
begin
    if not ml_internal.take_task('partitions') then
        return 0;
    end if;
    for month in select o.name from ml_internal.overdue_partitions o order by o.name loop
        begin
            execute format('drop table ml.%I', month.name);
            dropped := dropped + 1;
        exception when lock_not_available then
            -- Whatever is being read, other months may not be.
            continue;
        end;
    end loop;
    -- Of months that had no partition of their own.
    delete from ml.predictions_default d using ml.settings s
    where d.scored_at < now() - s.keep_predictions;
    return dropped;
end
$$;
comment on function ml_internal.drop_partitions() is
    'Drops the months of ml.predictions that are past keep_predictions and that no query is '
    'reading; returns how many';
