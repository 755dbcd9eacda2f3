-- Slices of a replay into files: patterns of one month, series by series and oldest first.
select to_char(k.month, 'YYYY-MM') as month, array_agg(k.id order by k.n) as ids
from (select p.id, m.month,
             row_number() over (partition by m.month
                                order by p.symbol, p.timeframe, p.detected_at, p.id) - 1 as n
      from public.pattern_events p
      cross join lateral (select date_trunc('month', p.detected_at, 'UTC') as month) m
      where p.detected_at >= %(since)s
        and (%(until)s::timestamptz is null or p.detected_at < %(until)s)) k
group by k.month, k.n / %(slice_rows)s
order by k.month, k.n / %(slice_rows)s
