-- What Postgres has no function for before version 18. Errors are relative, so that small p-values
-- mean something.
create or replace function ml_internal.normal_tail(z double precision) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    t     constant double precision := 1 / (1 + abs(z) / sqrt(8.0::double precision));
    tail  double precision := 0;
begin
    if abs(z) < 37 then
        -- Press et al., Numerical Recipes, 2nd ed., 6.2 (erfcc): relative error below 1.2e-7
        -- everywhere.
        tail := t / 2 * exp(-z * z / 2 - 1.26551223 + t * (1.00002368 + t * (0.37409196
            + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398
            + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
    end if;
    return case when z < 0 then 1 - tail else tail end;
end
$$;
comment on function ml_internal.normal_tail(double precision) is
    'P(Z > z) of a standard normal variable, to six digits';
