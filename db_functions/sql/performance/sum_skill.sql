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
          and l.detected_at >= to_timestamp(block::double precision * block_days * 86400)
          and l.detected_at < to_timestamp((block + 2.0::double precision / 3)
                                           * block_days * 86400)
        order by l.pattern_id, l.role = 'challenger', l.source = 'backfill', l.scored_at desc
    )
    select o.pattern_type, o.timeframe, s.score, b.baseline, count(*),
           sum((b.q - o.y) ^ 2 - (s.p - o.y) ^ 2), sum((s.p - b.q) ^ 2)
    from own o
    cross join lateral (values ('ml', o.ml), ('served', o.served)) s (score, p)
    cross join lateral (values ('rule', o.rule), ('base_rate', o.base_rate),
                               ('first_passage', o.first_passage)) b (baseline, q)
    where s.p is not null and b.q is not null
    group by s.score, b.baseline, cube (o.pattern_type, o.timeframe)
$$;
comment on function ml_internal.sum_skill(integer, integer, integer) is
    'Internal: what ml_internal.skill_sums holds of one block of one model';
