create or replace function ml_internal.recount_pattern() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ml_internal.outcome_days as d (pattern_type, day, positives, total)
    select t.pattern_type, (new.outcome_at at time zone 'UTC')::date,
           t.sign * (new.outcome_label = 'positive')::integer, t.sign
    from (values (old.pattern_type, -1), (new.pattern_type, 1)) t (pattern_type, sign)
    where octet_length(t.pattern_type) <= 1000  -- as ml_internal.write_labels counts
    -- In order, as ml_internal.write_labels does, so that the two never wait for each other.
    order by t.pattern_type
    on conflict (pattern_type, day) do update
        set positives = d.positives + excluded.positives, total = d.total + excluded.total;
    return null;
end
$$;
comment on function ml_internal.recount_pattern() is
    'Moves a known outcome to the daily counts of the type that its pattern is given';
