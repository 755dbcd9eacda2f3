create or replace function ml.label_outcomes(
    max_rows integer default null, method text default 'automatic') returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
-- Or a session that labelled while the tables were small would go on scanning all bars for every
-- pattern.
set plan_cache_mode = force_custom_plan
as $$
declare
    horizon  integer := (select label_horizon from ml.settings);
    found_labels record;
begin
    if method is null or method not in ('automatic', 'backfill') then
        raise exception 'method is "%"; allowed: automatic, backfill', method
            using errcode = 'check_violation';
    end if;
    -- One labelling run at a time; a second one has nothing to add.
    if not ml_internal.take_task('label_outcomes') then
        return 0;
    end if;
    -- Entries and bars beyond 1e100 count as absent, as non-finite ones do: differences and
    -- quotients of the rest cannot overflow, and one absurd row cannot stop the labelling of all
    -- others.
    with candidate as (
        select p.id, p.symbol, p.timeframe, p.detected_at, p.direction::float8 as direction,
               -- An adopted column may be numeric, and hold what no double can.
               case when abs(p.entry) < 1e100
                    then case when abs(p.entry) > 1e-300 then p.entry else 0 end
                    end::float8 as entry,
               case when abs(p.target) < 1e-300 then 0 when abs(p.target) < 'Infinity' then
                   greatest(-1e300, least(p.target, 1e300)) end::float8 as target,
               case when abs(p.stoploss) < 1e-300 then 0 when abs(p.stoploss) < 'Infinity' then
                   greatest(-1e300, least(p.stoploss, 1e300)) end::float8 as stop
        from public.pattern_events p
        where p.outcome_label is null and p.direction <> 0
          -- Tried again a day after it has refused.
          and not exists (select from ml_internal.refusals r
                          where r.task = 'label_outcomes' and r.pattern_id = p.id
                            and r.refused_at > clock_timestamp() - interval '1 day')
    ), priced as (
        select c.*, coalesce(c.entry, latest.close) as price, recent.atr
        from candidate c
        left join lateral (
            select b.close from public.price_bars b
            where c.entry is null
              and b.symbol = c.symbol and b.timeframe = c.timeframe and b.ts <= c.detected_at
              and b.high < 1e100 and b.low > -1e100
            order by b.ts desc limit 1) latest on true
        -- Two mean true ranges of 14 bars stand in for a level that is absent; a true range needs
        -- the close before it.
        left join lateral (
            select avg(tr) as atr from (
                select greatest(w.high, w.before) - least(w.low, w.before) as tr
                from (select b.ts, b.high, b.low, lag(b.close) over (order by b.ts) as before
                      from (select r.ts, r.high, r.low, r.close from public.price_bars r
                            where (c.target is null or c.stop is null)
                              and r.symbol = c.symbol and r.timeframe = c.timeframe
                              and r.ts <= c.detected_at
                              and r.high < 1e100 and r.low > -1e100
                            order by r.ts desc limit 15) b) w
                where w.before is not null) t
            having count(*) = 14) recent on true
    ), levelled as (
        select id, symbol, timeframe, detected_at, direction, price,
               coalesce(target, price + direction * 2 * atr) as target,
               coalesce(stop, price - direction * 2 * atr) as stop
        from priced
    ), decided as (
        select l.id, l.direction, l.price, l.target, l.stop, o.*
        from levelled l
        cross join lateral (
            select count(*) as bars,
                   min(n) filter (where case when l.direction > 0 then high >= l.target
                                             else low <= l.target end) as target_bar,
                   min(n) filter (where case when l.direction > 0 then low <= l.stop
                                             else high >= l.stop end) as stop_bar,
                   array_agg(ts order by n) as ts, array_agg(high order by n) as high,
                   array_agg(low order by n) as low,
                   array_agg(close order by n) as close
            from (select row_number() over (order by b.ts) as n, b.ts, b.high, b.low, b.close
                  from public.price_bars b
                  where b.symbol = l.symbol and b.timeframe = l.timeframe and b.ts > l.detected_at
                    and b.high < 1e100 and b.low > -1e100
                  order by b.ts limit horizon) f
        ) o
        where l.price > 1e-100 and (l.target - l.price) * l.direction > 0
          and (l.price - l.stop) * l.direction > 0
          and o.bars = horizon
        limit max_rows
    ), outcome as (
        select d.*,
               case when target_bar is not null and (stop_bar is null or target_bar < stop_bar)
                    then 'positive'
                    when stop_bar is not null then 'negative'
                    else 'neutral' end as label,
               coalesce(least(target_bar, stop_bar), horizon)::integer as n
        from decided d
    ), measured as (
        select o.id, o.label, o.ts[o.n] as outcome_at, o.n,
               o.direction * (case o.label when 'positive' then o.target
                                           when 'negative' then o.stop
                                           else o.close[o.n] end - o.price) / o.price as pnl,
               greatest(0, case when o.direction > 0 then highest - o.price
                                else o.price - lowest end) / o.price as favorable,
               greatest(0, case when o.direction > 0 then o.price - lowest
                                else highest - o.price end) / o.price as adverse
        from outcome o
        cross join lateral (select max(h) as highest, min(w) as lowest
                            from unnest(o.high[1 : o.n], o.low[1 : o.n]) u (h, w)) r
    )
    select array_agg(id) as ids, array_agg(label) as labels, array_agg(outcome_at) as outcome_at,
           array_agg(pnl) as pnl, array_agg(favorable) as favorable,
           array_agg(adverse) as adverse, array_agg(n) as n
    into found_labels from measured;
    if found_labels.ids is null then
        return 0;
    end if;
    return ml_internal.write_labels(
        found_labels.ids, found_labels.labels, found_labels.outcome_at, found_labels.pnl,
        found_labels.favorable, found_labels.adverse, found_labels.n, method);
end
$$;
comment on function ml.label_outcomes(integer, text) is
    'Labels patterns whose horizon is complete: target before '
    'stop, stop first or in the same bar, or neither';
