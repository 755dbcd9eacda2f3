-- Bin i > 0 holds 0.1 * 1.1^(i - 1) < ms <= 0.1 * 1.1^i, bin 0 all below. The geometric middle of a
-- bin is at most 4.9 % (sqrt(1.1) - 1) from anything in it.
create or replace function ml_internal.latency_bin(ms double precision) returns integer
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when ms > 0.1 then least(255, ceil(ln(ms / 0.1) / ln(1.1)))::integer else 0 end
$$;
comment on function ml_internal.latency_bin(double precision) is
    'The bin, 0 to 255, into which a latency in milliseconds is counted';
