create function ml_internal.write_answers(ids uuid[], answers jsonb[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    with answered as (
        update ml_internal.questions q
        set answer = case q.kind when 'score' then ml_internal.decide_score(a.answer)
                                 else a.answer end
        from unnest(ids, answers) a (id, answer)
        -- Who asked has been told otherwise when the time was up.
        where q.id = a.id and q.answer is null and q.expires_at > now()
        returning q.kind, q.answer
    )
    insert into ml_internal.question_counts as c (kind, reason, patterns)
    select a.kind, coalesce(a.answer ->> 'reason', 'answered'), count(*)
    from answered a group by 1, 2 order by 1, 2
    on conflict (kind, reason) do update set patterns = c.patterns + excluded.patterns;
end
$$;
comment on function ml_internal.write_answers(uuid[], jsonb[]) is
    'Internal: a worker answers questions, and counts them';
