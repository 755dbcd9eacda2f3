-- Patterns that want a score, series by series and oldest first, so that bars are read once. One
-- sort serves the numbers and the limit.
with picked as (
    select p.id, row_number() over (order by p.symbol collate "C", p.timeframe collate "C",
                                             p.detected_at, p.id) - 1 as n
    from public.pattern_events p
    where (%(rescore)s or p.scored_at is null)
      and (%(symbol)s::text is null or p.symbol = %(symbol)s)
      and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
      and p.detected_at is not null
    order by p.symbol collate "C", p.timeframe collate "C", p.detected_at, p.id
    limit nullif(%(limit)s, 0)
)
-- include: add_pages
