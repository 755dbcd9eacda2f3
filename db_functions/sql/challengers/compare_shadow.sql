-- Challenger against champion over the newest pairs that neither had seen, in all (pattern_type
-- null) and by pattern type. Differences are of the challenger less the champion, each with a
-- standard error: influences of the rows are summed over blocks of time a label window long (a day
-- at least), since neighbouring patterns share bars and outcomes. For AUC these are the components
-- of DeLong, DeLong and Clarke-Pearson (1988), summed over clusters as Obuchowski (1997) does.
create or replace function ml_internal.compare_shadow(
    challenger integer, champion integer, newest integer)
returns table (
    pattern_type text, pairs bigint, canary bigint, mean_difference double precision,
    mean_distance double precision, disagreement double precision,
    inference_p99_ms double precision, labels bigint, blocks bigint,
    challenger_brier double precision, champion_brier double precision,
    brier_difference double precision, brier_error double precision,
    challenger_log_loss double precision, champion_log_loss double precision,
    log_loss_difference double precision, log_loss_error double precision,
    challenger_roc_auc double precision, champion_roc_auc double precision,
    roc_auc_difference double precision, roc_auc_error double precision,
    calibration_error double precision)
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with newest_pair as (
        select s.*, p.outcome_label, p.detected_at, p.outcome_at
        from ml_internal.shadow_pairs s
        left join public.pattern_events p on p.id = s.pattern_id
        where s.challenger_id = compare_shadow.challenger
          and s.champion_id = compare_shadow.champion
          and (p.detected_at is null or p.detected_at >= (
              select max(m.unseen_from) from ml.models m
              where m.id in (compare_shadow.challenger, compare_shadow.champion)))
        order by s.scored_at desc limit newest
    ), pair as materialized (
        -- A row scored again counts once.
        select distinct on (s.pattern_id) s.pattern_id, s.pattern_type, s.canary, s.inference_ms,
               s.challenger::double precision as a, s.champion::double precision as b,
               (s.outcome_label = 'positive')::integer as y, s.detected_at, s.outcome_at
        from newest_pair s
        order by s.pattern_id, s.scored_at desc
    ), block as (
        select greatest(86400, percentile_cont(0.5) within group (
                   order by extract(epoch from outcome_at - detected_at)::double precision))
                   as seconds
        from pair where y is not null
    ), member as (
        select g.kind, p.* from pair p cross join lateral (values (null), (p.pattern_type)) g (kind)
    ), shown as (
        select m.kind, count(*) as pairs, count(*) filter (where m.canary) as canary,
               avg(m.a - m.b) as mean_difference,
               avg(abs(m.a - m.b)) as mean_distance,
               avg((m.a >= s.threshold)::integer # (m.b >= s.threshold)::integer)::double precision
                   as disagreement,
               percentile_cont(0.99)
                   within group (order by m.inference_ms::double precision) as inference_p99_ms
        from member m cross join ml.settings s
        group by m.kind
    ), ranked as (
        select m.kind, m.y, m.a, m.b,
               floor(extract(epoch from m.detected_at)::double precision / block.seconds) as block,
               (m.a - m.y) ^ 2 as brier_a, (m.b - m.y) ^ 2 as brier_b,
               -ln(case m.y when 1 then la else 1 - la end) as loss_a,
               -ln(case m.y when 1 then lb else 1 - lb end) as loss_b,
               count(*) over everyone as n, sum(m.y) over everyone as positives,
               -- Middle ranks: equal answers share theirs. Less the rank within the own class: how
               -- many of the other lie below.
               rank() over (partition by m.kind order by m.a)
                   + (count(*) over (partition by m.kind, m.a) - 1) / 2.0
               - rank() over (partition by m.kind, m.y order by m.a)
                   - (count(*) over (partition by m.kind, m.y, m.a) - 1) / 2.0 as below_a,
               rank() over (partition by m.kind order by m.b)
                   + (count(*) over (partition by m.kind, m.b) - 1) / 2.0
               - rank() over (partition by m.kind, m.y order by m.b)
                   - (count(*) over (partition by m.kind, m.y, m.b) - 1) / 2.0 as below_b
        from member m cross join block
        cross join lateral (select least(greatest(m.a, 0.001), 0.999) as la,
                                   least(greatest(m.b, 0.001), 0.999) as lb) clipped
        where m.y is not null
        window everyone as (partition by m.kind)
    ), placed as (
        -- A positive row: the share of the others below it; another row: the share of positives
        -- above it.
        select r.*, n - positives as others,
               case when y = 1 then below_a / nullif(n - positives, 0)
                    else 1 - below_a / nullif(positives, 0) end as v_a,
               case when y = 1 then below_b / nullif(n - positives, 0)
                    else 1 - below_b / nullif(positives, 0) end as v_b
        from ranked r
    ), mean as (
        select kind, count(*) as labels, avg(brier_a) as brier_a, avg(brier_b) as brier_b,
               avg(loss_a) as loss_a, avg(loss_b) as loss_b,
               (avg(v_a) filter (where y = 1))::double precision as auc_a,
               (avg(v_b) filter (where y = 1))::double precision as auc_b
        from placed group by kind
    ), summed as (
        select p.kind, p.block,
               sum(p.brier_a - p.brier_b - m.brier_a + m.brier_b) / max(p.n) as brier,
               sum(p.loss_a - p.loss_b - m.loss_a + m.loss_b) / max(p.n) as loss,
               sum((p.v_a - p.v_b - m.auc_a + m.auc_b)
                   / case when p.y = 1 then p.positives else p.others end) as auc
        from placed p join mean m on m.kind is not distinct from p.kind
        group by p.kind, p.block
    ), error as (
        select kind, count(*) as blocks,
               sqrt(sum(brier ^ 2) * count(*) / nullif(count(*) - 1, 0)) as brier,
               sqrt(sum(loss ^ 2) * count(*) / nullif(count(*) - 1, 0)) as loss,
               sqrt(sum(auc ^ 2) * count(*) / nullif(count(*) - 1, 0)) as auc
        from summed group by kind
    ), bin as (
        select kind, count(*) as n, avg(a) as said, avg(y)::double precision as came
        from (select kind, a, y,
                     ntile(greatest(1, least(10, n / 100))::integer)
                         over (partition by kind order by a) as bin from ranked) r
        group by kind, bin
    ), calibration as (
        -- The root of a mean square over ten bins of equal mass, less what chance alone would give
        -- in each (Bröcker, 2012). Not the expected calibration error, a mean of absolute
        -- distances, which ml.calibration_summary and training call ece.
        select kind, sqrt(greatest(0, sum(n * ((said - came) ^ 2
                   - came * (1 - came) / nullif(n - 1, 0))) / sum(n))) as error
        from bin group by kind
    )
    select s.kind, s.pairs, s.canary, s.mean_difference, s.mean_distance, s.disagreement,
           s.inference_p99_ms, coalesce(m.labels, 0), coalesce(e.blocks, 0),
           m.brier_a, m.brier_b, m.brier_a - m.brier_b, e.brier,
           m.loss_a, m.loss_b, m.loss_a - m.loss_b, e.loss,
           m.auc_a, m.auc_b, m.auc_a - m.auc_b, e.auc, c.error
    from shown s
    left join mean m on m.kind is not distinct from s.kind
    left join error e on e.kind is not distinct from s.kind
    left join calibration c on c.kind is not distinct from s.kind
    order by s.kind nulls first
$$;
comment on function ml_internal.compare_shadow(integer, integer, integer) is
    'Challenger against champion over the newest pairs that neither had seen, with standard '
    'errors over blocks of time; pattern_type null is all of them';
