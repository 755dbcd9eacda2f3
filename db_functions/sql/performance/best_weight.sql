-- Regression through the origin of y - rule on ml - rule (Granger and Ramanathan, Improved methods
-- of combining forecasts, 1984), its error by calendar blocks as in training.blend.
create function ml_internal.best_weight(
    model integer, source text default 'live', out ml_weight double precision,
    out standard_error double precision, out rows bigint, out blocks bigint)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with block as (
        select s.block, sum(s.n) as n, sum(s.xx) as xx, sum(s.xe) as xe
        from ml_internal.blend_sums(best_weight.model, null, best_weight.source) s group by s.block
    ), best as (
        select greatest(0, least(1, sum(b.xe) / nullif(sum(b.xx), 0))) as w from block b
    )
    select max(w.w),
           sqrt(count(*) / nullif(count(*) - 1, 0)::double precision
                * sum((b.xe - w.w * b.xx) ^ 2)) / nullif(sum(b.xx), 0),
           coalesce(sum(b.n), 0)::bigint, count(*)
    from block b cross join best w
$$;
comment on function ml_internal.best_weight(integer, text) is
    'Internal: the weight of the model, the rest being the rule''s, that would have served its '
    'unseen rows best; null without such rows, the error with fewer than two blocks';
