create function ml_internal.bars_json(symbol text, timeframe text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_array(b.ts, b.open, b.high, b.low, b.close)
                              order by b.ts), '[]')
    from (select p.* from public.price_bars p
          where p.symbol = bars_json.symbol and p.timeframe = bars_json.timeframe
          order by p.ts desc limit 128) b
$$;
comment on function ml_internal.bars_json(text, text) is
    'Internal: the newest 128 bars of a series, oldest first: ts, open, high, low, close';
