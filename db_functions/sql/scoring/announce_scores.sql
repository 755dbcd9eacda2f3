-- In the transaction that scores them, so that whoever hears of a row finds it scored. Ids alone: whoever may connect
-- may listen, and reads of a row only what its rights allow.
create or replace function ml_internal.announce_scores(pattern_ids uuid[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if (select announce = 'on' from ml.settings) then
        -- A payload is shorter than 8000 bytes; 200 ids take 7399.
        perform pg_notify('ml_scored', string_agg(id::text, ',' order by n))
        from unnest(pattern_ids) with ordinality g (id, n)
        group by (n - 1) / 200;
    end if;
end
$$;
comment on function ml_internal.announce_scores(uuid[]) is
    'Tells listeners of ml_scored, while the setting announce is on, which rows a worker is about to commit';
