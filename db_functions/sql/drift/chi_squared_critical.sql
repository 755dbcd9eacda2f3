create or replace function ml_internal.chi_squared_critical(alpha double precision, df integer)
    returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    t  constant double precision := sqrt(-2 * ln(least(alpha, 1 - alpha)));
    -- Abramowitz & Stegun 26.2.23, off by less than 4.5e-4.
    z  constant double precision := case when alpha <= 0.5 then 1 else -1 end
           * (t - (2.515517 + t * (0.802853 + t * 0.010328))
              / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
begin
    if df < 1 then
        return 0;
    end if;
    return df * greatest(0,
                         1 - 2 / (9 * df::double precision)
                             + z * sqrt(2 / (9 * df::double precision))) ^ 3;
end
$$;
comment on function ml_internal.chi_squared_critical(double precision, integer) is
    'What a chi-squared variable with df degrees of freedom exceeds with '
    'probability alpha, as Wilson and Hilferty approximate it';
