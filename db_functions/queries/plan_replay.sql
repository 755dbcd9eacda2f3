with picked as (
    select p.id, row_number() over (order by p.symbol collate "C", p.timeframe collate "C",
                                             p.detected_at, p.id) - 1 as n
    from public.pattern_events p
    where p.detected_at >= %(since)s
      and (%(until)s::timestamptz is null or p.detected_at < %(until)s)
)
-- include: add_pages
