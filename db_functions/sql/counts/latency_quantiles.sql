create or replace function ml_internal.latency_quantiles(
    histogram double precision[], qs double precision[]) returns double precision[]
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    total   double precision := (select sum(x) from unnest(histogram) x);
    place   integer := -1;
    next_q  integer := 1;
    wanted  double precision := qs[1] * total;
    below   double precision := 0;
    here    double precision;
    found   double precision[] := '{}';
begin
    foreach here in array histogram loop
        place := place + 1;
        continue when here = 0;
        below := below + here;
        while below >= wanted loop
            found := found || case when place = 0 then 0.1
                                   else 0.1 * 1.1 ^ (place - 0.5) end::double precision;
            next_q := next_q + 1;
            wanted := qs[next_q] * total;  -- null behind the last one
        end loop;
    end loop;
    return found;
end
$$;
comment on function ml_internal.latency_quantiles(double precision[], double precision[]) is
    'The quantiles, rising, in milliseconds of a latency '
    'histogram, within 5 %; empty when it is empty';
