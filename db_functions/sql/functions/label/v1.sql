create function ml.label(id uuid, outcome text, reason text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_row  record;
begin
    if outcome is not null and outcome not in ('positive', 'negative', 'neutral') then
        raise exception 'outcome is "%"; allowed: positive, negative, neutral, or null to take a label back', outcome
            using errcode = 'check_violation';
    end if;
    if coalesce(reason, '') !~ '\S' then
        raise exception 'a label needs a reason' using errcode = 'check_violation';
    end if;
    select p.outcome_label, p.outcome_at, p.realized_pnl::float8 as pnl, p.max_favorable_move::float8 as favorable,
           p.max_adverse_move::float8 as adverse, p.bars_to_outcome::integer as bars
    into found_row
    from public.pattern_events p where p.id = label.id for update;
    if not found then
        raise exception 'there is no pattern %', id using errcode = 'no_data_found';
    end if;
    insert into ml.label_history (pattern_id, old_label, new_label, reason, labeled_by)
    values (id, found_row.outcome_label, outcome, reason, session_user);
    if outcome is null then
        perform ml.write_labels(array[id], array[null]::text[], array[null]::timestamptz[], array[null]::float8[],
                                array[null]::float8[], array[null]::float8[], array[null]::integer[], 'analyst');
    else
        -- What was measured on the bars stays; the history inputs need a moment at which the outcome was known.
        perform ml.write_labels(
            array[id], array[outcome], array[coalesce(found_row.outcome_at, clock_timestamp())],
            array[found_row.pnl], array[found_row.favorable], array[found_row.adverse], array[found_row.bars], 'analyst');
    end if;
end
$$;
comment on function ml.label(uuid, text, text) is
    'Sets a pattern''s outcome by hand (null takes it back); the automatic labelling never overwrites it';
