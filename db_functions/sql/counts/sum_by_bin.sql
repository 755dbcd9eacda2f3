create or replace function ml_internal.sum_by_bin(bins integer[], amounts double precision[])
    returns double precision[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    width  integer := (select max(b) + 1 from unnest(bins) b);
    sums   double precision[] := array_fill(0::double precision, array[coalesce(width, 0)]);
begin
    for i in 1 .. coalesce(cardinality(bins), 0) loop
        if bins[i] is not null then
            sums[bins[i] + 1] := sums[bins[i] + 1] + coalesce(amounts[i], 1);
        end if;
    end loop;
    return sums;
end
$$;
comment on function ml_internal.sum_by_bin(integer[], double precision[]) is
    'A histogram: the sum of amounts (1 each when null) that fall in bin 0, 1, 2 ...';
