create function ml.answer(id uuid) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    waits       boolean;
    expires_at  timestamptz;
    given       jsonb;
begin
    select bool_or(q.answer is null), max(q.expires_at) into waits, expires_at
    from ml_internal.questions q where q.question = answer.id and q.asker = session_user;
    if waits is null then
        raise exception 'there is no question % of %; an answer is read once', id, session_user
            using errcode = 'no_data_found';
    elsif waits and clock_timestamp() > expires_at then
        raise exception 'no worker answered in time'
            using errcode = 'ML007',
                  hint = 'See ml.workers and ml.queue_status; rows go before questions.';
    elsif waits then
        return null;
    end if;
    with read as (
        delete from ml_internal.questions q where q.question = answer.id and q.asker = session_user
        returning q.place, q.answer
    )
    select case when min(r.place) = 0 then (array_agg(r.answer))[1]
                else jsonb_agg(r.answer order by r.place) end
    into given from read r;
    return given;
end
$$;
comment on function ml.answer(uuid) is
    'The answer to a question of ml.ask, once; null while there is none; only for who asked';
