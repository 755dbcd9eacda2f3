-- Histograms as arrays: element 1 is bin 0; a shorter array has nothing in the bins that it lacks.
create or replace function ml.add_arrays(a double precision[], b double precision[]) returns double precision[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    longer   double precision[] := coalesce(a, '{}');
    shorter  double precision[] := coalesce(b, '{}');
begin
    if cardinality(longer) < cardinality(shorter) then
        longer := b;
        shorter := coalesce(a, '{}');
    end if;
    for i in 1 .. cardinality(shorter) loop
        longer[i] := coalesce(longer[i], 0) + coalesce(shorter[i], 0);
    end loop;
    return longer;
end
$$;
comment on function ml.add_arrays(double precision[], double precision[]) is 'Sum element by element';

create aggregate ml.sum_arrays(double precision[]) (
    sfunc = ml.add_arrays, stype = double precision[], initcond = '{}', combinefunc = ml.add_arrays, parallel = safe);
comment on aggregate ml.sum_arrays(double precision[]) is 'Sum of histograms, element by element';

create or replace function ml.sum_by_bin(bins integer[], amounts double precision[]) returns double precision[]
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
comment on function ml.sum_by_bin(integer[], double precision[]) is
    'A histogram: the sum of amounts (1 each when null) that fall in bin 0, 1, 2 ...';
