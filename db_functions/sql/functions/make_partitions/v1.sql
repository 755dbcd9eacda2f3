create function ml.make_partitions(ahead integer default 3) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    month  timestamptz;
    made   integer := 0;
    name   text;
begin
    perform pg_advisory_xact_lock(hashtext('ml.make_partitions'));
    for n in 0 .. ahead loop
        month := (date_trunc('month', now() at time zone 'UTC') + n * interval '1 month') at time zone 'UTC';
        name := 'predictions_' || to_char(month at time zone 'UTC', 'YYYY_MM');
        -- Rows already in the default partition (nobody made partitions for months) would refuse the new one.
        continue when to_regclass('ml.' || name) is not null
            or exists (select from ml.predictions_default d
                       where d.scored_at >= month and d.scored_at < month + interval '1 month');
        execute format('create table ml.%I partition of ml.predictions for values from (%L) to (%L)', name, month,
                       ((month at time zone 'UTC') + interval '1 month') at time zone 'UTC');
        made := made + 1;
    end loop;
    return made;
end
$$;
comment on function ml.make_partitions(integer) is 'Makes the monthly partitions of ml.predictions ahead of time; returns how many';
