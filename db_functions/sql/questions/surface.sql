create procedure ml.surface(
    question jsonb, targets double precision[] default null, stops double precision[] default null,
    inout answer jsonb default null, timeout interval default '5 s')
language plpgsql
as $$
begin
    call ml.ask_and_wait(
        'surface',
        question operator(pg_catalog.||) pg_catalog.jsonb_strip_nulls(
            pg_catalog.jsonb_build_object('targets', targets, 'stops', stops)),
        answer, timeout);
end
$$;
comment on procedure ml.surface(
    jsonb, double precision[], double precision[], jsonb, interval) is
    'P(target), P(stop) and the expected value of a pattern for up to 64 targets and 64 stops; '
    'ml.surface_rows makes rows of the answer. Outside a transaction block only';
