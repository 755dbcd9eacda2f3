create trigger ml_1_check before insert or update on public.price_bars
    for each row execute function ml_internal.check_bar();
create trigger ml_log_insert after insert on public.price_bars
    referencing new table as changed for each statement
        execute function ml_internal.log_bar_changes();
create trigger ml_log_update after update on public.price_bars
    referencing new table as changed old table as replaced for each statement
        execute function ml_internal.log_bar_changes();
create trigger ml_log_delete after delete on public.price_bars
    referencing old table as changed for each statement
        execute function ml_internal.log_bar_changes();
create trigger ml_log_truncate after truncate on public.price_bars
    for each statement execute function ml_internal.log_bar_changes();
