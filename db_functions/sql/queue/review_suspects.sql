create or replace function ml_internal.review_suspects() returns bigint[]
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        delete from ml_internal.suspects s
        where not exists (select from ml.queue q where q.id = s.queue_id)
    )
    select coalesce(array_agg(s.queue_id order by s.attempts, s.queue_id), '{}')
    from ml_internal.suspects s
    where exists (select from ml.queue q where q.id = s.queue_id)
$$;
comment on function ml_internal.review_suspects() is
    'Queue rows with which in hand a process has died, or is at work now, those '
    'with the fewest deaths first; forgets marks of rows that are gone';
