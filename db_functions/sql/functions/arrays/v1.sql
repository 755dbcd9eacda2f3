-- Histograms as arrays: element 1 is bin 0; a shorter array has nothing in the bins that it lacks.
create or replace function ml.add_arrays(a double precision[], b double precision[]) returns double precision[]
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    longer   double precision[] := a;
    shorter  double precision[] := b;
begin
    if cardinality(longer) < cardinality(shorter) then
        longer := b;
        shorter := a;
    end if;
    for i in 1 .. cardinality(shorter) loop
        longer[i] := coalesce(longer[i], 0) + coalesce(shorter[i], 0);
    end loop;
    return longer;
end
$$;
comment on function ml.add_arrays(double precision[], double precision[]) is 'Sum element by element';

-- Strict, and without an initial state: of one array the sum is that array, and nothing is unpacked.
create aggregate ml.sum_arrays(double precision[]) (
    sfunc = ml.add_arrays, stype = double precision[], combinefunc = ml.add_arrays, parallel = safe);
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

-- Area under the ROC curve, but for the division: over all pairs of a positive and another, in the manner of Mann and
-- Whitney, with ties within a bin.
create or replace function ml.ordered_pairs(positives double precision[], totals double precision[]) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    below  double precision := 0;
    pairs  double precision := 0;
    other  double precision;
begin
    for i in 1 .. cardinality(totals) loop
        other := totals[i] - positives[i];
        pairs := pairs + positives[i] * (below + other / 2);
        below := below + other;
    end loop;
    return pairs;
end
$$;
comment on function ml.ordered_pairs(double precision[], double precision[]) is
    'Pairs of a positive and another whose bins are in the right order; a tie counts half';
