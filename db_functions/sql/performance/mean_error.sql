-- The ratio estimator of clustered sampling (Cochran, Sampling Techniques, 1977, chapter 9), as
-- training.blocks has it: of a mean m = sum / rows over K blocks of sums S and rows N,
-- sqrt(K / (K - 1) * sum (S - m N)^2) / rows.
create function ml_internal.mean_error(
    rows double precision[], sums double precision[], out mean double precision,
    out low double precision, out high double precision, out blocks bigint)
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    with block as (
        select b.n, b.s, sum(b.n) over () as rows, sum(b.s) over () / sum(b.n) over () as m
        from unnest(mean_error.rows, sums) b (n, s) where b.n > 0
    ), counted as (
        select max(m) as m, count(*) as k,
               sqrt(count(*) / nullif(count(*) - 1.0, 0)::double precision
                    * sum((s - m * n) ^ 2)) / max(rows) as error
        from block
    )
    select m, m - half, m + half, k
    from counted cross join lateral (
        select ml_internal.t_quantile(0.975, nullif(k - 1, 0)) * error as half) h
$$;
comment on function ml_internal.mean_error(double precision[], double precision[]) is
    'A mean from the rows and sums of calendar blocks, and its 95 % interval (Student''s t)';
