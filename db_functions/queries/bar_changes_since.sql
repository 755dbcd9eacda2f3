-- Whether a series changed after a snapshot of a replica was taken, up to the last moment read.
with look as (
-- include: bar_changes
)
select look.turn > %(turn)s + 1 or exists (
    select from jsonb_array_elements(look.changes) c
    join unnest(%(symbols)s::text[], %(timeframes)s::text[]) k (symbol, timeframe)
      on c.value ->> 0 = k.symbol and c.value ->> 1 = k.timeframe
    where (c.value ->> 2)::bigint <= %(until)s) as changed
from look
