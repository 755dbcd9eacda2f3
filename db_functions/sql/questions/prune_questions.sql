create function ml_internal.prune_questions() returns integer
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    with gone as (
        -- A minute is for who polls ml.answer from afar.
        delete from ml_internal.questions q where q.expires_at < now() - interval '1 minute'
        returning q.kind, q.answer is null as expired
    ), counted as (
        insert into ml_internal.question_counts as c (kind, reason, patterns)
        select g.kind, 'expired', count(*) from gone g where g.expired group by g.kind
        on conflict (kind, reason) do update set patterns = c.patterns + excluded.patterns
    )
    select count(*)::integer from gone
$$;
comment on function ml_internal.prune_questions() is
    'Removes questions whose time is up, answered or not; returns how many';
