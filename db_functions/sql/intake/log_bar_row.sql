-- As ml_internal.log_bar_changes, row by row: for logical replication, which fires no statement
-- trigger, and for partitions, which are written without their parent's statement triggers.
create or replace function ml_internal.log_bar_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    bar     record;
    series  text;
begin
    for side in 1 .. 2 loop
        if side = 1 then
            continue when tg_op = 'INSERT' or (
                tg_op = 'UPDATE' and old.ts = new.ts and old.symbol = new.symbol
                and old.timeframe = new.timeframe);
            bar := old;
        else
            exit when tg_op = 'DELETE';
            bar := new;
        end if;
        -- The last note of this transaction often says it already: a load goes series by series.
        -- The settings end, as the note does, with the transaction or savepoint that made it.
        series := length(bar.symbol) || ':' || bar.symbol || bar.timeframe;
        if current_setting('ml.noted_series', true) = series then
            continue when current_setting('ml.noted_since')::numeric <= extract(epoch from bar.ts);
        end if;
        insert into ml_internal.bar_changes (symbol, timeframe, since_ts)
        values (bar.symbol, bar.timeframe, bar.ts);
        perform set_config('ml.noted_series', series, true),
                set_config('ml.noted_since', extract(epoch from bar.ts)::text, true);
    end loop;
    return null;
end
$$;
comment on function ml_internal.log_bar_row() is
    'Notes per row which series changed and from which bar on';
