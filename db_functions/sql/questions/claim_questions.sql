-- Of one kind, that of the question whose time is up first. A claim is a commit of its own and
-- holds no lock while a model runs; after a while another worker answers in the place of one that
-- died.
create function ml_internal.claim_questions(most jsonb) returns setof ml_internal.questions
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    patience  constant interval := '2 s';
    first     text;
begin
    -- By the start of the transaction, so that the index serves.
    select q.kind into first from ml_internal.questions q
    where q.answer is null and q.expires_at > now() and most ? q.kind
      and (q.claimed_at is null or q.claimed_at < now() - patience)
    order by q.expires_at, q.place limit 1;
    return query
    with taken as (
        select q.id from ml_internal.questions q
        where q.answer is null and q.expires_at > now() and q.kind = first
          and (q.claimed_at is null or q.claimed_at < now() - patience)
        order by q.expires_at, q.place limit (most ->> first)::integer
        for update skip locked
    )
    -- Once: a question that ends its worker ends two at most.
    update ml_internal.questions q
    set claimed_at = case when q.claimed_at is null then now() else 'infinity' end
    from taken t where q.id = t.id
    returning q.*;
end
$$;
comment on function ml_internal.claim_questions(jsonb) is
    'Internal: questions for a worker to answer; so many at most of each kind that it knows';
