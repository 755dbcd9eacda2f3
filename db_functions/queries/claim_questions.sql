-- The settings that questions obey, and the questions to answer now. When none waits: one row
-- without an id.
select s.*, w.*
from (
-- include: batch_settings
) s
left join (
    select p.kind, p.options, p.expires_at, p.place,
-- include: pattern_columns
    from ml_internal.claim_questions(%(most)s::jsonb) p
) w on true
order by w.expires_at, w.place
