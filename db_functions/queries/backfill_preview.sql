-- How many rows a backfill would score, by the reason that their metadata gives now.
select coalesce(p.ml_metadata ->> 'reason', 'pending') as reason, count(*) as rows
from public.pattern_events p
where (%(rescore)s or p.scored_at is null)
  and (%(symbol)s::text is null or p.symbol = %(symbol)s)
  and (%(since)s::timestamptz is null or p.detected_at >= %(since)s)
  and p.detected_at is not null
group by 1
order by 2 desc
