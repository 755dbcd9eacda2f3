-- Strict, and without an initial state: of one array the sum is that array, and nothing is
-- unpacked.
create aggregate ml_internal.sum_arrays(double precision[]) (
    sfunc = ml_internal.add_arrays, stype = double precision[],
    combinefunc = ml_internal.add_arrays, parallel = safe);
comment on aggregate ml_internal.sum_arrays(double precision[]) is
    'Sum of histograms, element by element';
