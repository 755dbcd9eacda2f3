-- Rows detected in the last third of a block are left out: the windows of all others end before the
-- next block begins, so what a block adds is new when the one before it is known. One row a
-- pattern: that which served it, live, newest.
create function ml_internal.sum_skill(model_id integer, block integer, block_days integer)
returns table (
    pattern_type text, timeframe text, score text, baseline text, rows bigint,
    difference double precision, spread double precision)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with own as (
        select distinct on (l.pattern_id)
               l.pattern_type, l.timeframe, l.y, l.ml, l.rule, l.base_rate, l.first_passage,
               case when l.role <> 'challenger' then l.served end as served
        from ml_internal.labelled l
        where l.model_id = sum_skill.model_id and not l.seen
          and l.day >= block * block_days and l.day < block * block_days + block_days * 2 / 3.0
        order by l.pattern_id, l.role = 'challenger', l.source = 'backfill', l.scored_at desc
    ), kind as (
        select o.pattern_type, o.timeframe, s.score, b.baseline, count(*) as rows,
               sum((b.q - o.y) * (b.q - o.y) - (s.p - o.y) * (s.p - o.y)) as difference,
               sum((s.p - b.q) * (s.p - b.q)) as spread
        from own o
        cross join lateral (values ('ml', o.ml), ('served', o.served)) s (score, p)
        cross join lateral (values ('rule', o.rule), ('base_rate', o.base_rate),
                                   ('first_passage', o.first_passage),
                                   ('ml', o.ml)) b (baseline, q)
        where s.p is not null and b.q is not null and s.score <> b.baseline
        group by o.pattern_type, o.timeframe, s.score, b.baseline
    )
    select k.pattern_type, k.timeframe, k.score, k.baseline, sum(k.rows)::bigint,
           sum(k.difference), sum(k.spread)
    from kind k
    group by k.score, k.baseline, cube (k.pattern_type, k.timeframe)
$$;
comment on function ml_internal.sum_skill(integer, integer, integer) is
    'Internal: what ml_internal.skill_sums holds of one block of one model';
