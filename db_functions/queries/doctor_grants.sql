-- Rights without which a worker, an operator, an analyst cannot do their work; each as the GRANT
-- that is missing.
select format('grant execute on function %%s to %%s', p.oid::regprocedure, w.role) as statement
from (select 'ml_worker' as role, unnest(%(functions)s::text[]) as name
      union all
      select 'ml_operator',
             unnest(array['disable', 'enable', 'promote', 'rollback', 'reblend', 'redrive'])) w
join pg_proc p on p.pronamespace in ('ml'::regnamespace, 'ml_internal'::regnamespace)
    and p.proname = w.name
where not has_function_privilege(w.role, p.oid, 'execute')
union all
select format('grant usage on schema %%s to %%s', n.nspname, w.role)
from (values ('ml_owner', 'public'), ('ml_writer', 'public'), ('ml_writer', 'ml_internal'),
             ('ml_app', 'public'), ('ml_worker', 'public'),
             ('ml_analyst', 'public'), ('ml_publisher', 'public'), ('ml_operator', 'public'),
             ('ml_worker', 'ml'), ('ml_analyst', 'ml'), ('ml_publisher', 'ml'),
             ('ml_operator', 'ml'),
             ('ml_worker', 'ml_internal'), ('ml_analyst', 'ml_internal'),
             ('ml_publisher', 'ml_internal'), ('ml_operator', 'ml_internal'))
     w (role, schema_name)
join pg_namespace n on n.nspname = w.schema_name
where not has_schema_privilege(w.role, n.oid, 'usage')
union all
select format('grant %%s on %%s to %%s', w.right_, w.relation, w.role)
from (select 'ml_worker' as role, 'select' as right_,
             unnest(array['public.pattern_events', 'public.price_bars', 'ml.settings', 'ml.models',
                          'ml.aliases', 'ml.queue', 'ml_internal.outcome_days',
                          'ml_internal.bar_changes', 'ml_internal.bar_horizon',
                          'ml_internal.bar_tables', 'ml_internal.bar_doubts']) as relation
      union all
      select 'ml_worker', 'update', 'ml.queue'
      union all
      select unnest(array['ml_owner', 'ml_writer']), 'select', 'public.pattern_events'
      union all
      select 'ml_analyst', 'select',
             unnest(array['ml.health', 'ml.metrics', 'ml.alerts', 'ml.queue_status'])) w
-- By the catalogue: a name cannot be looked up in a schema that may not be used.
join pg_class c on format('%%s.%%s', c.relnamespace::regnamespace, c.relname) = w.relation
where not has_table_privilege(w.role, c.oid, w.right_)
union all
select format('grant update (%%s) on public.pattern_events to ml_writer', a.attname)
from pg_attribute a
where a.attrelid = 'public.pattern_events'::regclass and not a.attisdropped
  and a.attname in ('ml_confidence', 'prediction_class', 'model_version', 'scored_at',
                    'prediction_latency_ms', 'ml_metadata', 'outcome_label', 'outcome_at',
                    'realized_pnl', 'max_favorable_move', 'max_adverse_move', 'bars_to_outcome',
                    'labeled_at', 'labeling_method')
  and not has_column_privilege('ml_writer', a.attrelid, a.attnum, 'update')
