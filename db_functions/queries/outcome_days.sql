-- Daily outcome counts of some pattern types, days as days since 1970-01-01.
select d.pattern_type, d.day - '1970-01-01'::date as day, d.positives, d.total
from ml_internal.outcome_days d
where d.pattern_type = any (%(types)s)
order by d.pattern_type, d.day
