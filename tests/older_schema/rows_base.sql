insert into pattern_lifecycle_history (id, pattern_id, old_status, new_status, transition_reason, metadata, created_at)
select md5('history ' || n)::uuid, id, case when n % 8 > 0 then 'pending'::pattern_status end, 'confirmed',
       case when n % 3 > 0 then 'manual' end, case n % 5 when 0 then null else jsonb_build_object('confidence', chance) end,
       case when n % 7 > 0 then timestamptz '2024-05-01 00:00+00' + n * interval '1 hour' end
from numbered where n % 4 = 0;
