-- Runs as its caller, who may see the row or not.
create procedure ml.surface(
    pattern uuid, targets double precision[] default null, stops double precision[] default null,
    inout answer jsonb default null, timeout interval default '5 s')
language plpgsql
as $$
declare
    question  jsonb;
begin
    select pg_catalog.jsonb_build_object(
               'symbol', p.symbol, 'timeframe', p.timeframe, 'pattern_type', p.pattern_type,
               'detected_at', p.detected_at, 'started_at', p.started_at,
               'direction', p.direction, 'support', p.support, 'resistance', p.resistance,
               'target', p.target, 'entry', p.entry, 'stoploss', p.stoploss,
               'rule_confidence', p.rule_confidence, 'metadata', p.metadata)
    into question
    from public.pattern_events p where p.id operator(pg_catalog.=) surface.pattern;
    if question is null then
        raise exception 'there is no pattern %', pattern using errcode = 'no_data_found';
    end if;
    call ml.surface(question, targets, stops, answer, timeout);
end
$$;
comment on procedure ml.surface(
    uuid, double precision[], double precision[], jsonb, interval) is
    'The surface of a pattern in pattern_events, as of its detected_at';
