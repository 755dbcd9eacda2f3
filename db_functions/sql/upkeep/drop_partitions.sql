create or replace function ml_internal.drop_partitions() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    month    date;
    name     text;
    dropped  integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext('ml_internal.make_partitions'));
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'ml.predictions'::regclass and c.relname ~ '^predictions_\d{4}_\d{2}$'
        order by c.relname
    loop
        month := to_date(right(name, 7), 'YYYY_MM');
        -- Only a month that is over its time to the last day.
        continue when (month + interval '1 month') at time zone 'UTC'
                      > now() - (select keep_predictions from ml.settings);
        execute format('drop table ml.%I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;
comment on function ml_internal.drop_partitions() is
    'Drops the months of ml.predictions that are past keep_predictions; returns how many';
