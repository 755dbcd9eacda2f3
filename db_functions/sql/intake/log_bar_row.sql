-- As ml_internal.log_bar_changes, row by row: for logical replication, which fires no statement
-- trigger, and for partitions, which are written without their parent's statement triggers.
create or replace function ml_internal.log_bar_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    noted  text[] := string_to_array(current_setting('ml.noted_bar', true), chr(31));
    bar    record;
    since  numeric;
begin
    for bar in
        select b.symbol, b.timeframe, b.ts
        from (select old.symbol, old.timeframe, old.ts where tg_op <> 'INSERT'
              union all select new.symbol, new.timeframe, new.ts where tg_op <> 'DELETE') b
    loop
        since := extract(epoch from bar.ts);
        -- The last note of this transaction often says it already: a load goes series by series.
        -- The setting ends, as the note does, with the transaction or savepoint that made it.
        if noted is null or noted[1] is distinct from bar.symbol
           or noted[2] is distinct from bar.timeframe or noted[3]::numeric > since
        then
            insert into ml_internal.bar_changes (symbol, timeframe, since_ts)
            values (bar.symbol, bar.timeframe, bar.ts);
            noted := array[bar.symbol, bar.timeframe, since::text];
            perform set_config('ml.noted_bar', array_to_string(noted, chr(31)), true);
        end if;
    end loop;
    return null;
end
$$;
comment on function ml_internal.log_bar_row() is
    'Notes per row which series changed and from which bar on';
