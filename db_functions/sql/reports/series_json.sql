-- For the page that asks: each series once, by steps along the key instead of all its bars.
create function ml_internal.series_json() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    with recursive series as (
        (select b.symbol, b.timeframe from public.price_bars b
         order by b.symbol, b.timeframe limit 1)
        union all
        select n.symbol, n.timeframe
        from series s cross join lateral (
            select b.symbol, b.timeframe from public.price_bars b
            where (b.symbol, b.timeframe) > (s.symbol, s.timeframe)
            order by b.symbol, b.timeframe limit 1) n
    )
    select jsonb_build_object(
        'series', coalesce((select jsonb_agg(jsonb_build_array(s.symbol, s.timeframe))
                            from (select * from series limit 2000) s), '[]'),
        'pattern_types', coalesce((
            select jsonb_agg(t.pattern_type order by t.pattern_type)
            from (select distinct c.pattern_type from ml_internal.cohorts c
                  where c.pattern_type is not null limit 200) t), '[]'))
$$;
comment on function ml_internal.series_json() is
    'Internal: which series have bars, and which pattern types were scored, for the page that asks';
