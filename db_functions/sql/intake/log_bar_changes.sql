create or replace function ml_internal.log_bar_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        insert into ml_internal.bar_changes (symbol, timeframe, since_ts)
        select symbol, timeframe, min(ts)
        from (select symbol, timeframe, ts from changed
              union all select symbol, timeframe, ts from replaced) c
        group by symbol, timeframe;
    else
        insert into ml_internal.bar_changes (symbol, timeframe, since_ts)
        select symbol, timeframe, min(ts) from changed group by symbol, timeframe;
    end if;
    return null;
end
$$;
comment on function ml_internal.log_bar_changes() is
    'Notes per statement which series changed and from which bar on';
