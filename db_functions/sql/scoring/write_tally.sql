create or replace function ml_internal.write_tally(
    role text, model integer, source text, written_at timestamptz, rows integer, cells integer[], counts integer[],
    sums double precision[], squares double precision[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into ml_internal.tallies (at, source, role, model_id, rows, cells, counts, sums, squares)
    values (written_at, source, role, model, rows, cells, counts, sums, squares)
$$;
comment on function ml_internal.write_tally(text, integer, text, timestamptz, integer, integer[], integer[], double precision[], double precision[]) is
    'Appends how a batch''s features, inputs and answers fell into the frozen bins of its model; ml_internal.write_batch comes first';
