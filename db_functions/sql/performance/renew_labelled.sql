-- Called in the transaction that labels or scores, which holds the patterns' row locks: so two of
-- them never renew one pattern at a time, and the later one sees what the first committed.
create function ml_internal.renew_labelled(ids uuid[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(cardinality(ids), 0) = 0 then
        return;
    end if;
    -- Of a pattern without a label; and of a pattern with another label than before, also when its
    -- prediction is no longer there.
    with gone as (
        delete from ml_internal.labelled l
        where l.pattern_id = any (ids) and not exists (
            select from public.pattern_events p
            where p.id = l.pattern_id and p.outcome_label in ('positive', 'negative', 'neutral'))
        returning l.model_id, l.day
    ), relabelled as (
        update ml_internal.labelled l
        set y = n.y, waited_s = n.waited_s, bars = n.bars
        from (select p.id, (p.outcome_label = 'positive')::integer::double precision as y,
                     date_part('epoch', p.outcome_at - p.detected_at) as waited_s,
                     p.bars_to_outcome::integer as bars
              from public.pattern_events p
              where p.id = any (ids)
                and p.outcome_label in ('positive', 'negative', 'neutral')) n
        where l.pattern_id = n.id
          and (l.y, l.waited_s, l.bars) is distinct from (n.y, n.waited_s, n.bars)
        returning l.model_id, l.day
    )
    insert into ml_internal.stale_skill (model_id, day)
    select distinct c.model_id, c.day
    from (select * from gone union all select * from relabelled) c;

    with renewed as (
        insert into ml_internal.labelled as l (
            pattern_id, model_id, role, source, scored_at, detected_at, pattern_type, timeframe, y,
            ml, rule, served, first_passage, base_rate, reason, seen, waited_s, bars)
        select distinct on (e.pattern_id, e.model_id, e.role, e.source)
               e.pattern_id, e.model_id, e.role, e.source, e.scored_at, e.detected_at,
               coalesce(e.pattern_type, p.pattern_type), coalesce(e.timeframe, p.timeframe), e.y,
               e.ml, e.rule, e.served, e.first_passage,
               (case when s.history[2] > 0 then s.history[1] * s.history[2] else 0 end + 1)
               / (case when s.history[2] > 0 then s.history[2] else 0 end + 2),
               s.reason, coalesce(e.seen, true), date_part('epoch', p.outcome_at - p.detected_at),
               p.bars_to_outcome::integer
        from ml_internal.evidence e
        join ml.predictions s on s.pattern_id = e.pattern_id and s.scored_at = e.scored_at
                              and s.model_id = e.model_id and s.role = e.role
        join public.pattern_events p on p.id = e.pattern_id
        where e.pattern_id = any (ids)
        order by e.pattern_id, e.model_id, e.role, e.source, e.scored_at desc
        on conflict (pattern_id, model_id, role, source) do update set
            scored_at = excluded.scored_at, detected_at = excluded.detected_at,
            pattern_type = excluded.pattern_type, timeframe = excluded.timeframe, y = excluded.y,
            ml = excluded.ml, rule = excluded.rule, served = excluded.served,
            first_passage = excluded.first_passage, base_rate = excluded.base_rate,
            reason = excluded.reason, seen = excluded.seen, waited_s = excluded.waited_s,
            bars = excluded.bars
        where excluded.scored_at > l.scored_at
        returning l.model_id, l.day
    )
    insert into ml_internal.stale_skill (model_id, day)
    select distinct r.model_id, r.day from renewed r;
end
$$;
comment on function ml_internal.renew_labelled(uuid[]) is
    'Internal: after a label or a score, brings the rows of these patterns in '
    'ml_internal.labelled up to date, and notes which blocks of ml.skill they are in';
