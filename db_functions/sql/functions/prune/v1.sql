create or replace function ml.prune() returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    -- Readers of the log forget what they keep when they have not looked for a day.
    with pruned as (
        delete from ml.bar_changes where changed_at < now() - interval '7 days' returning 1
    )
    select count(*)::integer from pruned
$$;
comment on function ml.prune() is 'Removes log entries that no reader needs any more; returns how many';
