-- Runs as its caller, who may see the row or not; with qualified names, since it commits.
create procedure ml.surface(
    question jsonb, targets double precision[] default null, stops double precision[] default null,
    inout answer jsonb default null, timeout interval default '5 s')
language plpgsql
as $$
declare
    asked  jsonb := question operator(pg_catalog.-) 'id';
begin
    if question operator(pg_catalog.?) 'id' then
        select pg_catalog.jsonb_build_object(
                   'symbol', p.symbol, 'timeframe', p.timeframe, 'pattern_type', p.pattern_type,
                   'detected_at', p.detected_at, 'started_at', p.started_at,
                   'direction', p.direction, 'support', p.support, 'resistance', p.resistance,
                   'target', p.target, 'entry', p.entry, 'stoploss', p.stoploss,
                   'rule_confidence', p.rule_confidence, 'metadata', p.metadata)
               operator(pg_catalog.||) asked
        into asked
        from public.pattern_events p
        where p.id operator(pg_catalog.=) (question operator(pg_catalog.->>) 'id')::pg_catalog.uuid;
        if asked is null then
            raise exception 'there is no pattern %', question operator(pg_catalog.->>) 'id'
                using errcode = 'no_data_found';
        end if;
    end if;
    call ml.ask_and_wait(
        'surface',
        asked operator(pg_catalog.||) pg_catalog.jsonb_strip_nulls(
            pg_catalog.jsonb_build_object('targets', targets, 'stops', stops)),
        answer, timeout);
end
$$;
comment on procedure ml.surface(
    jsonb, double precision[], double precision[], jsonb, interval) is
    'P(target), P(stop) and the expected value of a pattern for up to 64 targets and 64 stops; of '
    'a row where the question has its id; ml.surface_rows makes rows of the answer. Outside a '
    'transaction block only';
