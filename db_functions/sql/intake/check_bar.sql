create or replace function ml_internal.check_bar() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    fault text[];
begin
    -- All finite and in order: the one test that good bars pay for. NaN and Infinity fail "<
    -- Infinity".
    if new.high >= greatest(new.open, new.close, new.low) and new.low <= least(new.open, new.close)
       and new.high < 'Infinity' and new.low > '-Infinity'
       and (new.volume is null or (new.volume >= 0 and new.volume < 'Infinity'))
       and isfinite(new.ts) and octet_length(new.symbol) <= 1000
       and octet_length(new.timeframe) <= 1000 then
        return new;
    end if;
    fault := case
        when new.open is null or new.high is null or new.low is null or new.close is null
            or new.ts is null
             or new.symbol is null or new.timeframe is null then null
        -- Longer ones fit no index, and an index does not say which column it refuses.
        when octet_length(new.symbol) > 1000 then
            array['symbol', octet_length(new.symbol) || ' bytes long', 'at most 1000 bytes']
        when octet_length(new.timeframe) > 1000 then
            array['timeframe', octet_length(new.timeframe) || ' bytes long', 'at most 1000 bytes']
        when not isfinite(new.ts) then array['ts', new.ts::text, 'a moment in time']
        when not (abs(new.open) < 'Infinity') then array['open', new.open::text, 'finite numbers']
        when not (abs(new.high) < 'Infinity') then array['high', new.high::text, 'finite numbers']
        when not (abs(new.low) < 'Infinity') then array['low', new.low::text, 'finite numbers']
        when not (abs(new.close) < 'Infinity') then array['close', new.close::text,
                                                          'finite numbers']
        when not (new.volume >= 0 and new.volume < 'Infinity') then
            array['volume', new.volume::text, '0 or more, finite, or null where the feed has none']
        when new.high < greatest(new.open, new.close, new.low) then
            array['high', new.high::text,
                  format('at least open %s, close %s and low %s', new.open, new.close, new.low)]
        else
            array['low', new.low::text,
                  format('at most open %s, close %s and high %s', new.open, new.close, new.high)]
    end;
    -- A null price goes on to the column's own NOT NULL, which names it.
    if fault is not null then
        raise exception 'price_bars.% is %; allowed: % (symbol %, timeframe %, ts %)',
            fault[1], fault[2], fault[3], left(new.symbol, 100), left(new.timeframe, 100), new.ts
            using errcode = 'check_violation', schema = 'public', table = 'price_bars',
                  column = fault[1];
    end if;
    return new;
end
$$;
comment on function ml_internal.check_bar() is
    'Refuses a bar with non-finite prices or a range that does not hold its open and close';
