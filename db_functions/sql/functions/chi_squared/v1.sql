-- What Postgres has no function for before version 18. Errors are relative, so that small p-values mean something.
create or replace function ml.normal_tail(z double precision) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    t     constant double precision := 1 / (1 + abs(z) / sqrt(8.0::double precision));
    tail  double precision := 0;
begin
    if abs(z) < 37 then
        -- Press et al., Numerical Recipes, 2nd ed., 6.2 (erfcc): relative error below 1.2e-7 everywhere.
        tail := t / 2 * exp(-z * z / 2 - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
                + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
    end if;
    return case when z < 0 then 1 - tail else tail end;
end
$$;
comment on function ml.normal_tail(double precision) is 'P(Z > z) of a standard normal variable, to six digits';

create or replace function ml.chi_squared_tail(x double precision, df integer) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    odd    constant integer := df % 2;
    half   constant double precision := x / 2;
    tail   double precision;
    term   double precision;
begin
    if df < 1 or x <= 0 then
        return 1;
    elsif half > 650 then
        return 0;
    end if;
    -- Abramowitz & Stegun 26.4.4 and 26.4.5: a finite sum for whole degrees of freedom.
    if odd = 1 then
        tail := 2 * ml.normal_tail(sqrt(x));
        term := exp(-half) * sqrt(4 * half / pi());
    else
        tail := exp(-half);
        term := tail * half;
    end if;
    for i in 1 .. (df - 1) / 2 loop
        tail := tail + term;
        term := term * half / (i + 1 - odd / 2.0::double precision);
    end loop;
    return least(tail, 1);
end
$$;
comment on function ml.chi_squared_tail(double precision, integer) is
    'P(X > x) of a chi-squared variable with df degrees of freedom, to six digits; 0 where x > 1300';

create or replace function ml.chi_squared_critical(alpha double precision, df integer) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    t  constant double precision := sqrt(-2 * ln(least(alpha, 1 - alpha)));
    -- Abramowitz & Stegun 26.2.23, off by less than 4.5e-4.
    z  constant double precision := case when alpha <= 0.5 then 1 else -1 end
           * (t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
begin
    if df < 1 then
        return 0;
    end if;
    return df * greatest(0, 1 - 2 / (9 * df::double precision) + z * sqrt(2 / (9 * df::double precision))) ^ 3;
end
$$;
comment on function ml.chi_squared_critical(double precision, integer) is
    'What a chi-squared variable with df degrees of freedom exceeds with probability alpha, as Wilson and Hilferty approximate it';
