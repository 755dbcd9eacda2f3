-- TRUNCATE needs no trigger: it gives the table another file, which ml_internal.bar_tables shows.
create trigger ml_1_check before insert or update on public.price_bars
    for each row execute function ml_internal.check_bar();
create trigger ml_log_row after insert or update or delete on public.price_bars
    for each row execute function ml_internal.log_bar_row();
do $$
begin
    if (select relkind = 'p' from pg_catalog.pg_class where oid = 'public.price_bars'::regclass)
    then
        -- Partitions, also those to come, get a copy of a row trigger; a statement trigger fires
        -- only for the table that a statement names.
        alter table public.price_bars enable always trigger ml_log_row;
        return;
    end if;
    -- Statement triggers cost a third of what a row trigger costs. That one is for sessions that
    -- replicate, in which they do not fire.
    alter table public.price_bars enable replica trigger ml_log_row;
    create trigger ml_log_insert after insert on public.price_bars
        referencing new table as changed for each statement
            execute function ml_internal.log_bar_changes();
    create trigger ml_log_update after update on public.price_bars
        referencing new table as changed old table as replaced for each statement
            execute function ml_internal.log_bar_changes();
    create trigger ml_log_delete after delete on public.price_bars
        referencing old table as changed for each statement
            execute function ml_internal.log_bar_changes();
end
$$;
