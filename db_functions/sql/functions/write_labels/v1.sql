-- Internal: the one place where outcomes are written, so that the daily counts always agree with the rows.
create or replace function ml.write_labels(
    ids uuid[], labels text[], outcome_at timestamptz[], pnl double precision[], favorable double precision[],
    adverse double precision[], bars integer[], method text) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    written integer;
begin
    with given as (
        select * from unnest(ids, labels, outcome_at, pnl, favorable, adverse, bars)
            g (id, label, outcome_at, pnl, favorable, adverse, bars)
    ), before as (
        select p.id, p.pattern_type, p.outcome_label, p.outcome_at from public.pattern_events p
        where p.id = any (ids) and (method = 'analyst' or p.labeling_method is distinct from 'analyst')
        order by p.id
        for update
    ), written as (
        update public.pattern_events p
        set outcome_label = g.label, outcome_at = g.outcome_at, realized_pnl = g.pnl,
            max_favorable_move = g.favorable, max_adverse_move = g.adverse, bars_to_outcome = g.bars,
            labeled_at = case when g.label is not null then clock_timestamp() end,
            labeling_method = case when g.label is not null then method end
        from given g join before b on b.id = g.id
        where p.id = g.id
        returning p.pattern_type, p.outcome_label, p.outcome_at
    ), change as (
        select c.pattern_type, (c.outcome_at at time zone 'UTC')::date as day,
               sum(c.sign * (c.outcome_label = 'positive')::integer)::integer as positives, sum(c.sign)::integer as total
        from (select w.pattern_type, w.outcome_label, w.outcome_at, 1 as sign from written w
              union all select b.pattern_type, b.outcome_label, b.outcome_at, -1 from before b) c
        where c.outcome_label is not null and c.outcome_at is not null
          -- Longer than intake allows, from before the upgrade: it fits no index, and nobody counts it.
          and octet_length(c.pattern_type) <= 1000
        group by 1, 2
        order by 1, 2
    ), counted as (
        insert into ml.outcome_days as d (pattern_type, day, positives, total)
        select * from change where positives <> 0 or total <> 0
        on conflict (pattern_type, day) do update
            set positives = d.positives + excluded.positives, total = d.total + excluded.total
    )
    select count(*) into written from written;
    return written;
end
$$;
comment on function ml.write_labels(uuid[], text[], timestamptz[], double precision[], double precision[], double precision[], integer[], text) is
    'Internal: writes outcomes and keeps the daily counts in step';
