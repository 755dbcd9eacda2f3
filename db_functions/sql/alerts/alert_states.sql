-- Conditions that are true or not. The first three are computed when they are read: nobody may be
-- there to raise them.
create view ml_internal.alert_states with (security_invoker = true) as
with champion as (
    select c.model_id, c.version,
           exists (select from ml_internal.baselines b
                   where b.model_id = c.model_id) as has_baseline
    from ml_internal.champion c
), alive as (
    select w.* from ml_internal.live_workers w where w.kind = 'worker'
), queue as (
    select q.enqueued_at as oldest_at,
           extract(epoch from clock_timestamp() - q.enqueued_at)::double precision as age_s
    from ml.queue q order by q.id limit 1
), state as (
    select 'no_worker' as type, '' as subject,
           case when s.enabled then 'critical' else 'warning' end as level,
           0::double precision as value, 1::double precision as threshold,
           'no worker is alive: rows keep their rule confidence and wait' as message,
           (select max(w.last_seen) from ml.workers w where w.kind = 'worker') as since
    from ml.settings s where not exists (select from alive)
    union all
    select 'no_model', '', case when s.enabled then 'critical' else 'warning' end, 0, 1,
           'there is no champion: every row falls back to its rule confidence',
           (select max(a.valid_to) from ml.aliases a where a.alias = 'champion')
    from ml.settings s where not exists (select from champion)
    union all
    select 'stalled_queue', '',
           case when q.age_s > 5 * extract(epoch from s.stalled_after) then 'critical'
                else 'warning' end,
           q.age_s, extract(epoch from s.stalled_after)::double precision,
           format('the oldest row has waited for %s s', round(q.age_s::numeric, 1)),
           q.oldest_at + s.stalled_after
    from ml.settings s, queue q where q.age_s > extract(epoch from s.stalled_after)
    union all
    select 'model_fault', c.version,
           case when count(*) filter (where a.model_version = c.version
                                            and a.model_error is null) = 0
                then 'critical' else 'warning' end,
           count(*) filter (where a.model_error is not null), 0,
           format('%s of %s workers do not serve the champion: %s',
                  count(*) filter (where a.model_error is not null), count(*),
                  left(max(a.model_error), 300)), null
    from champion c, alive a
    group by c.version having count(*) filter (where a.model_error is not null) > 0
    union all
    select 'dead_letters', '', 'warning', f.n, 0,
           format('%s rows were given up; the newest: %s', f.n,
                  left((select l.error from ml.failures l
                        where l.redriven_at is null order by l.id desc limit 1), 200)), null
    from (select count(*) as n from ml.failures where redriven_at is null) f where f.n > 0
    union all
    select 'no_baseline', c.version, 'warning', 0, 1,
           format('model %s has no drift baseline, so drift is not watched; '
                  'ml.set_baseline makes one', c.version), null
    from champion c where not c.has_baseline
)
select t.type, t.subject, t.level, t.level as holds, t.value, t.threshold, t.message, t.since
from state t;
comment on view ml_internal.alert_states is
    'Internal: workers, models, queue and dead letters that call for an alert';
