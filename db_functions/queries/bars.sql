-- Bars of several series at once: up to `before` bars at or before `first`, and up to `after` bars
-- later than it. Sent as binary COPY: fixed-width rows that NumPy reads without a Python object per
-- value.
copy (
    select k.n::integer, b.ts, b.open, b.high, b.low, b.close, coalesce(b.volume, 'NaN')
    from unnest(%(symbols)s::text[], %(timeframes)s::text[], %(firsts)s::bigint[],
                %(befores)s::integer[])
         with ordinality k (symbol, timeframe, first, before, n)
    cross join lateral (
        (select p.* from public.price_bars p
         where p.symbol = k.symbol and p.timeframe = k.timeframe
           and p.ts <= 'epoch'::timestamptz + k.first * interval '1 microsecond'
         order by p.ts desc limit k.before)
        union all
        (select p.* from public.price_bars p
         where p.symbol = k.symbol and p.timeframe = k.timeframe
           and p.ts > 'epoch'::timestamptz + k.first * interval '1 microsecond'
         order by p.ts limit %(after)s)
    ) b
) to stdout (format binary)
