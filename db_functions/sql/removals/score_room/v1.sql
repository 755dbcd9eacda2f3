alter table public.pattern_events set (fillfactor = 50);
