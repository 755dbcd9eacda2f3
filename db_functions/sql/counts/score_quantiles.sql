create or replace function ml_internal.score_quantiles(
    histogram double precision[], edges double precision[], qs double precision[])
returns double precision[]
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    total   double precision := (select sum(x) from unnest(histogram) x);
    place   integer := -1;
    next_q  integer := 1;
    wanted  double precision := qs[1] * total;
    below   double precision := 0;
    here    double precision;
    low     double precision;
    high    double precision;
    found   double precision[] := '{}';
begin
    foreach here in array histogram loop
        place := place + 1;
        continue when here = 0;
        while below + here >= wanted loop
            low := case when place = 0 then 0 else edges[place] end;
            high := case when place >= cardinality(edges) then 1 else edges[place + 1] end;
            found := found || (low + (high - low) * (wanted - below) / here);
            next_q := next_q + 1;
            wanted := qs[next_q] * total;  -- null behind the last one
        end loop;
        below := below + here;
    end loop;
    return found;
end
$$;
comment on function ml_internal.score_quantiles(double precision[], double precision[],
                                                double precision[]) is
    'The quantiles, rising, of confidences counted at edges, '
    'evenly spread within a bin; empty when there are none';
