create procedure ml.score(
    question jsonb, inout answer jsonb default null, timeout interval default '5 s')
language plpgsql
as $$
begin
    call ml.ask_and_wait('score', question, answer, timeout);
end
$$;
comment on procedure ml.score(jsonb, jsonb, interval) is
    'What a pattern, or each of a list, would score if it were inserted now; nothing is inserted. '
    'Outside a transaction block only';
