-- Histograms as arrays: element 1 is bin 0; a shorter array has nothing in the bins that it lacks.
create or replace function ml_internal.add_arrays(a double precision[], b double precision[])
    returns double precision[]
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
comment on function ml_internal.add_arrays(double precision[], double precision[]) is
    'Sum element by element';
