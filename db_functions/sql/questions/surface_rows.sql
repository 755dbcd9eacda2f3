create function ml.surface_rows(answer jsonb)
returns table (
    target double precision, stop double precision, p_target double precision,
    p_stop double precision, p_neither double precision, expected_value double precision,
    outside boolean)
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select t.price::double precision, s.price::double precision, p.p_target, p.p_stop, p.p_neither,
           p.expected_value, p.outside
    from jsonb_array_elements(answer -> 'targets') with ordinality t (price, n)
    cross join lateral rows from (
        jsonb_array_elements(answer -> 'stops'),
        jsonb_array_elements_text(answer -> 'p_target' -> (t.n - 1)::integer),
        jsonb_array_elements_text(answer -> 'p_stop' -> (t.n - 1)::integer),
        jsonb_array_elements_text(answer -> 'p_neither' -> (t.n - 1)::integer),
        jsonb_array_elements_text(answer -> 'expected_value' -> (t.n - 1)::integer),
        jsonb_array_elements_text(nullif(answer -> 'outside', 'null') -> (t.n - 1)::integer)
    ) with ordinality s (price, p_target, p_stop, p_neither, expected_value, outside, n)
    cross join lateral (
        select s.p_target::double precision, s.p_stop::double precision,
               s.p_neither::double precision, s.expected_value::double precision,
               s.outside::boolean) p
    order by t.n, s.n
$$;
comment on function ml.surface_rows(jsonb) is
    'A row for each pair of an answer of ml.surface: probabilities null where target and stop are '
    'on one side of the price, expected_value in multiples of the risk after cost_bps, outside '
    'true where the model was fitted on no such rows and null where that is not known';
