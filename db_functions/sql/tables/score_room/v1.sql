-- A score more than doubles a row, from some 290 to 640 bytes. At fillfactor 50 half of the rows had to leave their page,
-- and with it every index was written; at 30 none has to, and the table is smaller once its rows are scored.
alter table public.pattern_events set (fillfactor = 30);
