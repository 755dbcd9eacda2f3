-- Bin i > 0 holds 0.1 * 1.1^(i - 1) < ms <= 0.1 * 1.1^i, bin 0 all below. The geometric middle of a bin is at most 4.9 %
-- (sqrt(1.1) - 1) from anything in it.
create or replace function ml.latency_bin(ms double precision) returns integer
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when ms > 0.1 then least(255, ceil(ln(ms / 0.1) / ln(1.1)))::integer else 0 end
$$;
comment on function ml.latency_bin(double precision) is 'The bin, 0 to 255, into which a latency in milliseconds is counted';

create or replace function ml.latency_quantile(histogram double precision[], q double precision) returns double precision
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    total  double precision := 0;
    below  double precision := 0;
begin
    for i in 1 .. cardinality(histogram) loop
        total := total + histogram[i];
    end loop;
    if total <= 0 then
        return null;
    end if;
    for i in 1 .. cardinality(histogram) loop
        below := below + histogram[i];
        if below >= q * total and histogram[i] > 0 then
            return case when i = 1 then 0.1 else 0.1 * 1.1 ^ (i - 1.5) end;
        end if;
    end loop;
    return null;
end
$$;
comment on function ml.latency_quantile(double precision[], double precision) is
    'The q-quantile in milliseconds of a latency histogram, within 5 %; null when it is empty';
