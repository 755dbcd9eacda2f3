select r.run, r.seen, r.reblended, r.changed, r.to_blend, r.to_rule, r.largest_change, r.finished,
       r.refused
from ml.reblend(%(reason)s, %(dry_run)s, %(symbol)s, %(since)s, %(max_rows)s, %(run)s) r
