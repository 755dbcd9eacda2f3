create function ml.check_bar() returns trigger
language plpgsql
as $$
declare
    fault text;
begin
    -- All finite and in order: the one test that good bars pay for. NaN and Infinity fail "< Infinity".
    if new.high >= greatest(new.open, new.close, new.low) and new.low <= least(new.open, new.close)
       and new.high < 'Infinity' and new.low > '-Infinity'
       and (new.volume is null or (new.volume >= 0 and new.volume < 'Infinity'))
       and new.ts >= '0001-01-01Z' and new.ts < '9999-12-31Z' then
        return new;
    end if;
    fault := case
        when new.ts < '0001-01-01Z' or new.ts >= '9999-12-31Z' then
            format('ts is %s; allowed: a moment in the years 1 to 9999', new.ts)
        when new.open is null or new.high is null or new.low is null or new.close is null then null
        when not (abs(new.open) < 'Infinity') then format('open is %s; allowed: finite numbers', new.open)
        when not (abs(new.high) < 'Infinity') then format('high is %s; allowed: finite numbers', new.high)
        when not (abs(new.low) < 'Infinity') then format('low is %s; allowed: finite numbers', new.low)
        when not (abs(new.close) < 'Infinity') then format('close is %s; allowed: finite numbers', new.close)
        when not (new.volume >= 0 and new.volume < 'Infinity') then
            format('volume is %s; allowed: 0 or more, finite, or null where the feed has none', new.volume)
        when new.high < greatest(new.open, new.close, new.low) then
            format('high is %s, below open %s, close %s or low %s', new.high, new.open, new.close, new.low)
        else format('low is %s, above open %s, close %s or high %s', new.low, new.open, new.close, new.high)
    end;
    -- A null price goes on to the column's own NOT NULL, which names it.
    if fault is not null then
        raise exception 'price_bars (%, %, %): %', new.symbol, new.timeframe, new.ts, fault
            using errcode = 'check_violation', schema = 'public', table = 'price_bars';
    end if;
    return new;
end
$$;
comment on function ml.check_bar() is 'Refuses a bar with non-finite prices or a range that does not hold its open and close';
