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
    changed  ml_internal.relabelled[];
    refused  ml_internal.refusal[];
begin
    if method = 'analyst' then
        -- A person is told.
        select u.relabelled into changed
        from ml_internal.update_labels(ids, labels, outcome_at, pnl, favorable, adverse, bars,
                                       method) u;
        if cardinality(changed) is distinct from cardinality(ids) then
            raise exception 'the label was not written: a trigger of pattern_events returned NULL, '
                            'or a policy withholds the row'
                using errcode = 'object_not_in_prerequisite_state';
        end if;
    else
        select u.changed, u.refused into changed, refused
        from ml_internal.label_in_parts(ids, labels, outcome_at, pnl, favorable, adverse, bars,
                                        method) u;
    end if;
    with written as (
        select * from unnest(changed)
    ), change as (
        select c.pattern_type, (c.outcome_at at time zone 'UTC')::date as day,
               sum(c.sign * (c.outcome_label = 'positive')::integer)::integer as positives,
               sum(c.sign)::integer as total
        from (select w.pattern_type, w.outcome_label, w.outcome_at, 1 as sign from written w
              union all select w.old_type, w.old_label, w.old_at, -1 from written w) c
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
    ), noticed as (
        insert into ml_internal.altered_writes (task, rows, pattern_id)
        select 'label', count(*), (array_agg(w.id))[1] from written w where w.altered
        having count(*) > 0
    ), cleared as (
        delete from ml_internal.refusals r using written w
        where r.task = 'label_outcomes' and r.pattern_id = w.id
    )
    insert into ml_internal.refusals as r (task, pattern_id, error)
    select 'label_outcomes', f.pattern_id, f.error from unnest(refused) f
    on conflict on constraint refusals_pkey do update
        set error = excluded.error, refused_at = excluded.refused_at;

    -- A statement of its own, so that it sees what a scorer committed while the row above was
    -- waited for; who scores later sees these labels and counts them itself.
    insert into ml_internal.outcome_changes (sign, scored_at, source, role, model_id, pattern_type,
                                             timeframe, outcome,
                                    ml_confidence, rule_confidence, blended_confidence, threshold,
                                             detected_at, served, first_passage, seen)
    select o.sign, s.scored_at, case when s.latency_ms is null then 'backfill' else 'live' end,
           s.role, s.model_id, s.pattern_type, s.timeframe, o.outcome, s.ml_confidence,
           s.rule_confidence,
           s.blended_confidence, s.threshold, s.detected_at, s.served, s.first_passage, s.seen
    from unnest(changed) c
    join ml.predictions s on s.pattern_id = c.id
    cross join lateral (values (-1, c.old_label), (1, c.outcome_label)) o (sign, outcome)
    where c.old_label is distinct from c.outcome_label
      and o.outcome in ('positive', 'negative', 'neutral')
      -- A replay is no prediction; scores from before this version do not say what they were
      -- compared with.
      and s.role <> 'replay' and s.threshold is not null;
    perform ml_internal.renew_labelled(array(select c.id from unnest(changed) c));
    return coalesce(cardinality(changed), 0);
end
$$;
comment on function ml_internal.write_labels(uuid[], text[], timestamptz[], double precision[],
                                             double precision[], double precision[],
                                             integer[], text) is
    'Internal: writes outcomes and keeps the daily counts and the cohorts of '
    'predictions in step; the machine passes over rows that another session has locked, and '
    'notes those that refuse';
