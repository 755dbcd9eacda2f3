do $$
declare
    object record;
begin
    for object in
        select case c.relkind when 'v' then 'view' else 'table' end as kind, c.oid::regclass::text as name
        from pg_catalog.pg_class c
        where c.relnamespace = 'ml'::regnamespace and c.relkind in ('r', 'v')
          and c.relname in ('alert_log', 'alert_transitions', 'schedule', 'metrics', 'metrics_history', 'alert_rates', 'alert_states',
                            'alert_conditions', 'alerts', 'health')
    loop
        execute format('alter %s %s owner to ml_owner', object.kind, object.name);
        execute format('grant select on %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
    end loop;
    for object in
        select p.oid::regprocedure::text as name, p.proname
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ml'::regnamespace and p.proname in ('score_quantiles', 'metrics_between', 'check_alerts', 'acknowledge', 'label_due')
    loop
        execute format('alter function %s owner to ml_owner', object.name);
        execute format('revoke all on function %s from public', object.name);
        execute format('grant execute on function %s to %s', object.name, case object.proname
            when 'check_alerts' then 'ml_worker, ml_operator'
            when 'label_due' then 'ml_worker'
            when 'acknowledge' then 'ml_operator'
            else 'ml_worker, ml_analyst, ml_publisher, ml_operator' end);
    end loop;
end
$$;
