-- Those whose time is up first. By the start of the transaction, so that the index serves.
create function ml_internal.claim_questions(most integer) returns setof ml_internal.questions
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select q.* from ml_internal.questions q
    where q.answer is null and q.expires_at > now()
    order by q.expires_at, q.place limit most
    for update skip locked;
end
$$;
comment on function ml_internal.claim_questions(integer) is
    'Internal: questions that no other worker is answering, locked until the transaction ends';
