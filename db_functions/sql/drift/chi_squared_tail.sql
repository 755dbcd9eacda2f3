create or replace function ml_internal.chi_squared_tail(x double precision, df integer)
    returns double precision
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
        tail := 2 * ml_internal.normal_tail(sqrt(x));
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
comment on function ml_internal.chi_squared_tail(double precision, integer) is
    'P(X > x) of a chi-squared variable with df degrees '
    'of freedom, to six digits; 0 where x > 1300';
