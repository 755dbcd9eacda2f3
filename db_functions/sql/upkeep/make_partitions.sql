create or replace function ml_internal.make_partitions(ahead integer default 3) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
-- As for ml_internal.drop_partitions: a month is made long before it begins, so it can wait.
set lock_timeout = '100ms'
as $$
declare
    month  timestamp;
    made   integer := 0;
    name   text;
begin
    if not ml_internal.take_task('partitions') then
        return 0;
    end if;
    for n in 0 .. ahead loop
        -- Months of UTC, written out so that they mean the same under every DateStyle and TimeZone.
        month := date_trunc('month', now() at time zone 'UTC') + n * interval '1 month';
        name := 'predictions_' || to_char(month, 'YYYY_MM');
        -- Rows already in the default partition (nobody made partitions for months) would refuse
        -- the new one.
        continue when to_regclass('ml.' || name) is not null
            or exists (select from ml.predictions_default d
                       where d.scored_at >= month at time zone 'UTC'
                         and d.scored_at < (month + interval '1 month') at time zone 'UTC');
        begin
            execute format(
                'create table ml.%I partition of ml.predictions for values from (%L) to (%L)', name,
                to_char(month, 'YYYY-MM-DD') || ' 00:00+00',
                to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00+00');
            made := made + 1;
        exception when lock_not_available then
            exit;
        end;
    end loop;
    return made;
end
$$;
comment on function ml_internal.make_partitions(integer) is
    'Makes the monthly partitions of ml.predictions ahead of time; returns how many';
