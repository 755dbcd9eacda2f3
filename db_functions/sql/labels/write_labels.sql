-- Internal: the one place where outcomes are written, so that the daily counts and the cohorts
-- always agree with the rows.
create or replace function ml_internal.write_labels(
    ids uuid[], labels text[], outcome_at timestamptz[], pnl double precision[],
    favorable double precision[],
    adverse double precision[], bars integer[], method text) returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changed  uuid[];
    before   text[];
    after    text[];
    held     uuid[] := '{}';
begin
    if method <> 'analyst' then
        -- Labels of the machine can wait; whoever waits for one row with others in hand holds these
        -- up, and can deadlock with an application that updates several.
        held := ml_internal.lock_patterns(ids);
    end if;
    with given as (
        select * from unnest(ids, labels, outcome_at, pnl, favorable, adverse, bars)
            g (id, label, outcome_at, pnl, favorable, adverse, bars)
    ), before as (
        select p.id, p.pattern_type, p.outcome_label, p.outcome_at from public.pattern_events p
        where p.id = any (ids) and p.id <> all (held)
          and (method = 'analyst' or p.labeling_method is distinct from 'analyst')
        for no key update
    ), written as (
        update public.pattern_events p
        set outcome_label = g.label, outcome_at = g.outcome_at, realized_pnl = g.pnl,
            max_favorable_move = g.favorable, max_adverse_move = g.adverse,
            bars_to_outcome = g.bars,
            labeled_at = case when g.label is not null then clock_timestamp() end,
            labeling_method = case when g.label is not null then method end
        from given g join before b on b.id = g.id
        where p.id = g.id
        returning p.id, b.outcome_label as old_label, p.pattern_type, p.outcome_label, p.outcome_at
    ), change as (
        select c.pattern_type, (c.outcome_at at time zone 'UTC')::date as day,
               sum(c.sign * (c.outcome_label = 'positive')::integer)::integer as positives,
               sum(c.sign)::integer as total
        from (select w.pattern_type, w.outcome_label, w.outcome_at, 1 as sign from written w
              union all select b.pattern_type, b.outcome_label, b.outcome_at, -1 from before b) c
        where c.outcome_label is not null and c.outcome_at is not null
          -- Longer than intake allows, from before the upgrade: it fits no index, and nobody counts
          -- it.
          and octet_length(c.pattern_type) <= 1000
        group by 1, 2
        order by 1, 2
    ), counted as (
        insert into ml_internal.outcome_days as d (pattern_type, day, positives, total)
        select * from change where positives <> 0 or total <> 0
        on conflict (pattern_type, day) do update
            set positives = d.positives + excluded.positives, total = d.total + excluded.total
    )
    select array_agg(w.id), array_agg(w.old_label), array_agg(w.outcome_label)
        into changed, before, after from written w;

    -- A statement of its own, so that it sees what a scorer committed while the row above was
    -- waited for; who scores later sees these labels and counts them itself.
    insert into ml_internal.outcome_changes (sign, scored_at, source, role, model_id, pattern_type,
                                             timeframe, outcome,
                                    ml_confidence, rule_confidence, blended_confidence, threshold)
    select o.sign, s.scored_at, case when s.latency_ms is null then 'backfill' else 'live' end,
           s.role, s.model_id, s.pattern_type, s.timeframe, o.outcome, s.ml_confidence,
           s.rule_confidence,
           s.blended_confidence, s.threshold
    from unnest(changed, before, after) c (id, old_label, new_label)
    join ml.predictions s on s.pattern_id = c.id
    cross join lateral (values (-1, c.old_label), (1, c.new_label)) o (sign, outcome)
    where c.old_label is distinct from c.new_label
      and o.outcome in ('positive', 'negative', 'neutral')
      -- A replay is no prediction; scores from before this version do not say what they were
      -- compared with.
      and s.role <> 'replay' and s.threshold is not null;
    perform ml_internal.renew_labelled(changed);
    return coalesce(cardinality(changed), 0);
end
$$;
comment on function ml_internal.write_labels(uuid[], text[], timestamptz[], double precision[],
                                             double precision[], double precision[],
                                             integer[], text) is
    'Internal: writes outcomes and keeps the daily counts and the cohorts of '
    'predictions in step; the machine passes over rows that another session has locked';
