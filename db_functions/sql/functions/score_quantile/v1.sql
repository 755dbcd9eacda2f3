create or replace function ml.score_quantile(histogram double precision[], edges double precision[], q double precision)
returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    total  double precision := 0;
    below  double precision := 0;
    low    double precision;
    high   double precision;
begin
    for i in 1 .. cardinality(histogram) loop
        total := total + histogram[i];
    end loop;
    if total <= 0 then
        return null;
    end if;
    for i in 1 .. cardinality(histogram) loop
        if below + histogram[i] >= q * total and histogram[i] > 0 then
            low := case when i = 1 then 0 else edges[i - 1] end;
            high := case when i > cardinality(edges) then 1 else edges[i] end;
            return low + (high - low) * (q * total - below) / histogram[i];
        end if;
        below := below + histogram[i];
    end loop;
    return null;
end
$$;
comment on function ml.score_quantile(double precision[], double precision[], double precision) is
    'The q-quantile of confidences counted at edges, evenly spread within a bin; null when there are none';
