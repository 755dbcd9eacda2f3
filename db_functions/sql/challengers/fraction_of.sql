create or replace function ml_internal.fraction_of(pattern_id uuid) returns double precision
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select ('x' || substr(encode(sha256(uuid_send(pattern_id)), 'hex'), 1, 8))::bit(32)::bigint
        / 4294967296.0
$$;
comment on function ml_internal.fraction_of(uuid) is
    'Where in 0 to 1 a pattern falls by hash: a challenger scores the '
    'rows below its share, and serves those below its canary';
