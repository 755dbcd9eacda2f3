-- Settings that are chosen on rows look good on them. So what they gain is measured on rows that
-- had no part in the choice: each half of the blocks is served as the other half advises.
create function ml.blend_advice(
    since   timestamptz default null,  -- only rows detected at or after it
    source  text default 'live')       -- or backfill
returns table (
    threshold double precision, threshold_low double precision, threshold_high double precision,
    ml_weight double precision, rule_weight double precision, weight_error double precision,
    rows bigint, share double precision, brier double precision, present_brier double precision,
    gain double precision, gain_low double precision, gain_high double precision,
    blocks bigint, block interval, advice text)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with sums as materialized (
        select s.* from ml_internal.blend_sums(
            (select c.model_id from ml_internal.champion c), blend_advice.since,
            blend_advice.source) s
    ), block as materialized (
        select s.block, ntile(2) over (order by s.block) as half, sum(s.n) as n, sum(s.ee) as ee,
               sum(s.present) as present
        from sums s group by s.block
    ), upper as materialized (
        -- Of each block, what lies at or above each threshold.
        select b.block, b.half, t.place, sum(s.n) over least as n, sum(s.xx) over least as xx,
               sum(s.xe) over least as xe
        from block b
        cross join generate_series(1, 51) t (place)
        left join sums s on s.block = b.block and s.bin = t.place
        window least as (partition by b.block order by t.place desc)
    ), part as (
        -- 1 and 2: a half; 3: all blocks.
        select p.part, u.place, sum(u.xx) as xx, sum(u.xe) as xe,
               greatest(0, least(1, coalesce(sum(u.xe) / nullif(sum(u.xx), 0), 1))) as w
        from upper u cross join lateral (values (u.half), (3)) p (part)
        group by p.part, u.place
    ), best as materialized (
        select distinct on (p.part) p.part, p.place, p.w
        from part p
        -- By how much the Brier score falls.
        order by p.part, coalesce(p.w * (2 * p.xe - p.w * p.xx), 0) desc, p.place
    ), served as (
        -- Of each block, the squared error as part 3 and as the other half would have it.
        select b.block, b.n, u.n as blended, a.part,
               b.present, b.ee - coalesce(a.w * (2 * u.xe - a.w * u.xx), 0) as error,
               u.xe - a.w * u.xx as score, u.xx
        from block b
        join best a on a.part = 3 or a.part = 3 - b.half
        join upper u on u.block = b.block and u.place = a.place
    ), total as (
        select count(*) as blocks, sum(v.n) as n, sum(v.blended) as blended, sum(v.error) as error,
               sum(v.present) as present,
               sqrt(count(*) / nullif(count(*) - 1, 0)::double precision * sum(v.score ^ 2))
                   / nullif(sum(v.xx), 0) as weight_error
        from served v where v.part = 3
    ), held_out as (
        select e.*
        from (select array_agg(v.n) as n, array_agg(v.present - v.error) as gain
              from served v where v.part < 3) a
        cross join lateral ml_internal.mean_error(a.n, a.gain) e
    ), rival as (
        -- Thresholds, each at its best weight, that are not surely worse than the best.
        select d.place
        from (select u.place, array_agg(v.n) as n,
                     array_agg(b.ee - coalesce(p.w * (2 * u.xe - p.w * u.xx), 0) - v.error) as worse
              from upper u
              join part p on p.part = 3 and p.place = u.place
              join block b on b.block = u.block
              join served v on v.block = u.block and v.part = 3
              group by u.place) d
        cross join lateral ml_internal.mean_error(d.n, d.worse) e
        where e.mean = 0 or e.low <= 0 or e.low is null
    )
    select s.threshold, (r.low + 49) / 100.0::double precision,
           (r.high + 49) / 100.0::double precision, a.w, 1 - a.w, t.weight_error,
           coalesce(t.n, 0)::bigint, t.blended / t.n, t.error / t.n, t.present / t.n,
           h.mean, h.low, h.high, t.blocks, c.block_days * interval '8 hours',
           case when t.n is null then 'no unseen row has an outcome and a rule confidence yet'
                when h.low > 0 then format(
                    'threshold %s, ml_weight %s and rule_weight %s would surely serve better',
                    s.threshold, round(a.w::numeric, 3), round(1 - a.w::numeric, 3))
                else 'no change is surely better' end
    from total t
    cross join held_out h
    cross join ml_internal.skill_clock c
    cross join (select min(v.place) as low, max(v.place) as high from rival v) r
    left join best a on a.part = 3
    cross join lateral (select (a.place + 49) / 100.0::double precision as threshold) s
$$;
comment on function ml.blend_advice(timestamptz, text) is
    'The threshold and the weights that would have served the champion''s unseen rows best, and '
    'whether they are surely better than those of now';
