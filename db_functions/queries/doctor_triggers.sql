-- Triggers of ours that do not fire in an ordinary session, each with its table.
select t.tgname as trigger, t.tgrelid::regclass::text as on_table
from pg_trigger t join pg_proc p on p.oid = t.tgfoid
-- The two that an adopted table had before are not ours to judge: one that was disabled stays so.
where p.pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
  and starts_with(t.tgname, 'ml_') and not starts_with(t.tgname, 'ml_log_')  -- those: bar_tables
  and t.tgenabled not in ('O', 'A')
order by 2, 1
