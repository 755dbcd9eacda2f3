-- As the first grants: ml_owner owns everything here, nothing for PUBLIC, and readers read.
do $$
declare
    object record;
begin
    for object in
        select c.oid::regclass::text as name
        from pg_catalog.pg_class c
        where c.relnamespace = 'ml'::regnamespace and c.relname in ('drift_windows', 'feature_drift', 'prediction_drift', 'data_quality')
    loop
        execute format('alter view %s owner to ml_owner', object.name);
        execute format('grant select on %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
    end loop;
    for object in
        select p.oid::regprocedure::text as name, p.proname
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ml'::regnamespace
          and p.proname in ('normal_tail', 'chi_squared_tail', 'chi_squared_critical', 'measure_drift', 'add_bins', 'collect_histograms',
                            'count_window', 'set_baseline')
    loop
        execute format('alter function %s owner to ml_owner', object.name);
        execute format('revoke all on function %s from public', object.name);
        -- The views compute with these as whoever reads them.
        if object.proname in ('normal_tail', 'chi_squared_tail', 'chi_squared_critical', 'measure_drift') then
            execute format('grant execute on function %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
        elsif object.proname = 'set_baseline' then
            execute format('grant execute on function %s to ml_operator', object.name);
        end if;
    end loop;
end
$$;
