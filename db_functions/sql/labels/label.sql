create or replace function ml.label(id uuid, outcome text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_row   record;
    horizon     integer;
    decided_at  timestamptz;
begin
    if outcome is not null and outcome not in ('positive', 'negative', 'neutral') then
        raise exception 'outcome is "%"; allowed: positive, negative, neutral, '
                        'or null to take a label back', outcome
            using errcode = 'check_violation';
    end if;
    if coalesce(reason, '') !~ '[^[:space:]]' then
        raise exception 'a label needs a reason' using errcode = 'check_violation';
    end if;
    perform ml_internal.lock_patterns(array[id], true);
    select p.symbol, p.timeframe, p.detected_at, p.outcome_label, p.outcome_at,
           p.realized_pnl::float8 as pnl, p.max_favorable_move::float8 as favorable,
           p.max_adverse_move::float8 as adverse, p.bars_to_outcome::integer as bars
    into found_row
    from public.pattern_events p where p.id = label.id;
    if not found then
        raise exception 'there is no pattern %', id using errcode = 'no_data_found';
    end if;
    insert into ml.label_history (pattern_id, old_label, new_label, reason, labeled_by)
    values (id, found_row.outcome_label, outcome, reason, session_user);
    if outcome is null then
        perform ml_internal.write_labels(
            array[id], array[null]::text[], array[null]::timestamptz[], array[null]::float8[],
            array[null]::float8[], array[null]::float8[], array[null]::integer[], 'analyst');
    else
        -- What was measured on the bars stays; the history inputs need a moment at which the
        -- outcome was known: the end of the horizon, or now while that is still to come.
        horizon := (select label_horizon from ml.settings);
        decided_at := coalesce(found_row.outcome_at, (
            select max(b.ts) from (
                select p.ts from public.price_bars p
                where p.symbol = found_row.symbol and p.timeframe = found_row.timeframe
                  and p.ts > found_row.detected_at
                order by p.ts limit horizon) b
            having count(*) = horizon), clock_timestamp());
        perform ml_internal.write_labels(
            array[id], array[outcome], array[decided_at],
            array[found_row.pnl], array[found_row.favorable], array[found_row.adverse],
            array[found_row.bars], 'analyst');
    end if;
end
$$;
comment on function ml.label(uuid, text, text) is
    'Sets a pattern''s outcome by hand (null takes it '
    'back); the automatic labelling never overwrites it';
