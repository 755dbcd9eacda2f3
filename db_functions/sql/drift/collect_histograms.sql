-- Internal: what training.baseline makes of training rows, made of the newest 20,000 predictions of
-- a window: for a model that came without. The bins are the same: each value its own where there
-- are at most ten, else deciles, and what lies above a value that fills a decile by itself apart
-- from it.
create or replace function ml_internal.collect_histograms(
    model integer, since timestamptz, until timestamptz) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
with taken as materialized (
    select p.features, p.pattern_type, p.timeframe, p.ml_confidence,
           ml_internal.predicted_class(p.probabilities) as prediction_class
    from ml.predictions p
    where p.model_id = collect_histograms.model
      and p.role in ('champion', 'canary', 'standby', 'challenger')
      and p.scored_at >= collect_histograms.since and p.scored_at < collect_histograms.until
      and p.latency_ms is not null
    order by p.scored_at desc limit 20000
), number as materialized (
    select 'features' as part, f.name, t.features[f.place]::double precision as x
    from ml.models m cross join unnest(m.feature_names) with ordinality f (name, place)
    cross join taken t
    where m.id = collect_histograms.model and t.features is not null
    union all
    select 'outputs', 'ml_confidence', t.ml_confidence from taken t
), described as (
    select n.part, n.name, count(*) as rows,
           count(*) filter (where n.x = 'NaN' or n.x is null) as nan,
           count(*) filter (where n.x in ('Infinity', '-Infinity')) as infinite,
           avg(n.x) filter (where abs(n.x) < 'Infinity') as mean,
           stddev_pop(n.x) filter (where abs(n.x) < 'Infinity') as deviation,
           percentile_disc('{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9}'::double precision[])
               within group (order by n.x)
               filter (where abs(n.x) < 'Infinity') as deciles
    from number n group by n.part, n.name
), different as materialized (
    select n.part, n.name, n.x, lag(n.x) over name_ as before,
           count(*) over (partition by n.part, n.name) as values
    from number n where abs(n.x) < 'Infinity' group by n.part, n.name, n.x
        window name_ as (partition by n.part, n.name order by n.x)
), edged as (
    select d.*, coalesce((
        select array_agg(e order by e) from (
            select v.x as e from different v
            where (v.part, v.name) = (d.part, d.name) and d.part = 'features'
              and (v.values <= 10 and v.before is not null
                   or (select count(*) from unnest(d.deciles) q where q = v.before) > 1)
            union
            select q from unnest(d.deciles) q
            where d.part = 'outputs'
               or (select max(v.values) from different v
                   where (v.part, v.name) = (d.part, d.name)) > 10) e), '{}') as edges
    from described d
), histogram as (
    select e.part, e.name,
           jsonb_build_object(
               'edges', to_jsonb(e.edges), 'nan', e.nan, 'infinite', e.infinite,
               'mean', e.mean, 'deviation', e.deviation, 'counts', (
                   select jsonb_agg(coalesce(b.rows, 0) order by bin)
                   from generate_series(0, cardinality(e.edges)) bin
                   left join (select width_bucket(n.x, e.edges) as bin, count(*) as rows
                              from number n
                              where (n.part, n.name) = (e.part, e.name) and abs(n.x) < 'Infinity'
                              group by 1) b using (bin))) as h
    from edged e
    union all
    select c.part, c.name, jsonb_build_object(
               'categories', jsonb_agg(c.value order by c.value) filter (where c.place <= 200),
               'counts', jsonb_agg(c.rows order by c.value) filter (where c.place <= 200),
               'missing', min(c.nulls),
               'unseen', coalesce(sum(c.rows) filter (where c.place > 200), 0))
    from (
        select v.part, v.name, v.value, count(v.value) as rows, min(v.nulls) as nulls,
               row_number() over (partition by v.part, v.name
                                  order by count(v.value) desc, v.value) as place
        from (
            select c.part, c.name, c.value,
                   count(*) filter (where c.value is null)
                       over (partition by c.part, c.name) as nulls
            from taken t
            cross join lateral (values ('inputs', 'pattern_type', t.pattern_type),
                                       ('inputs', 'timeframe', t.timeframe)) c (part, name, value)
        ) v
        where v.value is not null group by v.part, v.name, v.value) c
    group by c.part, c.name
    union all
    select 'outputs', 'prediction_class',
           jsonb_build_object(
               'categories', jsonb_agg(c.name order by c.place),
               'counts', jsonb_agg((select count(*) from taken t where t.prediction_class = c.name)
                                   order by c.place))
    from unnest(array['negative', 'neutral', 'positive']) with ordinality c (name, place)
)
select jsonb_object_agg(part, names)
from (select part, jsonb_object_agg(name, h) as names from histogram group by part) p
$$;
comment on function ml_internal.collect_histograms(integer, timestamptz, timestamptz) is
    'Internal: histograms of a model''s live predictions '
    'between two moments, as training registers them';
