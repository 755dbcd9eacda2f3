create or replace function ml.metrics_json(grain text default 'minute') returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select jsonb_build_object(
        'current', (
            select to_jsonb(m) - array['period', 'model_version', 'source']
            from ml.metrics m
            where m.period = 'alert_window' and m.model_version is null and m.source = 'live'),
        'history', coalesce((
            select jsonb_agg(to_jsonb(m) - array['grain', 'model_version', 'source']
                             order by m.bucket)
            from ml.metrics_history m
            where m.grain = metrics_json.grain and m.model_version is null
              and m.source = 'live'), '[]'))
$$;
comment on function ml.metrics_json(text) is
    'Live rows of all models as JSON: now, and per minute, hour or day';
