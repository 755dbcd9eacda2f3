-- The time of a bar, by timeframe, from the newest outcomes: weekends and nights count as they
-- come, and a tenth more is kept for holidays. From a row of lengths, and never shorter while the
-- label horizon stays: a better measure of the same horizon moves no border.
create function ml_internal.wanted_block_days() returns integer
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with newest as (
        select l.timeframe, l.waited_s, l.bars
        from ml.models m
        cross join lateral (
            select o.timeframe, o.waited_s, o.bars from ml_internal.labelled o
            where o.model_id = m.id order by o.day desc limit 2000) l
        where l.bars > 0 and l.waited_s > 0
    ), horizon as (
        select max(h.days) as days from (
            select 1.1 * s.label_horizon * sum(n.waited_s) / sum(n.bars) / 86400 as days
            from newest n cross join ml.settings s
            group by n.timeframe, s.label_horizon
            having sum(n.bars) >= 100) h
    )
    select case when h.days is null then null
                when c.label_horizon is distinct from s.label_horizon then n.days
                else greatest(c.block_days, n.days) end
    from ml_internal.skill_clock c
    cross join ml.settings s
    cross join horizon h
    left join lateral (
        select min(g.days) as days
        from unnest(array[3, 7, 14, 28, 98, 196, 392, 784, 1568, 3136, 6272, 12544]) g (days)
        where g.days >= 3 * h.days or g.days = 12544) n on true
$$;
comment on function ml_internal.wanted_block_days() is
    'Internal: how many days a block of ml.skill should have; null: too few outcomes to tell';
