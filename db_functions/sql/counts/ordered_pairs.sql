-- Area under the ROC curve, except for the division: over all pairs of a positive and another, in
-- the manner of Mann and Whitney, with ties within a bin.
create or replace function ml_internal.ordered_pairs(
    positives double precision[], totals double precision[]) returns double precision
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
comment on function ml_internal.ordered_pairs(double precision[], double precision[]) is
    'Pairs of a positive and another whose bins are in the right order; a tie counts half';
