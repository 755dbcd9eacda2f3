-- As the first grants: ml_owner owns everything here, nothing for PUBLIC, and readers read.
do $$
declare
    object record;
begin
    for object in
        select case c.relkind when 'v' then 'view' else 'table' end as kind, c.oid::regclass::text as name
        from pg_catalog.pg_class c
        where c.relnamespace = 'ml'::regnamespace and c.relkind in ('r', 'v')
          and c.relname in ('bins', 'baselines', 'batches', 'tallies', 'outcome_changes', 'folds', 'metric_rollups', 'feature_rollups',
                            'cohorts', 'fresh_metrics', 'fresh_features', 'fresh_cohorts', 'metric_counts', 'feature_counts',
                            'cohort_counts')
    loop
        execute format('alter %s %s owner to ml_owner', object.kind, object.name);
        execute format('grant select on %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
    end loop;
    for object in
        select p.oid::regprocedure::text as name, p.proname
        from pg_catalog.pg_proc p
        where p.pronamespace = 'ml'::regnamespace
          and p.proname in ('add_arrays', 'sum_arrays', 'sum_by_bin', 'ordered_pairs', 'latency_bin', 'latency_quantiles',
                            'histogram_fault', 'freeze_bins', 'write_batch', 'write_tally', 'fold', 'renumber_logs', 'drop_partitions')
    loop
        execute format('alter routine %s owner to ml_owner', object.name);
        execute format('revoke all on routine %s from public', object.name);
        -- The views compute with these as whoever reads them.
        if object.proname in ('add_arrays', 'sum_arrays', 'sum_by_bin', 'ordered_pairs', 'latency_bin', 'latency_quantiles') then
            execute format('grant execute on routine %s to ml_worker, ml_analyst, ml_publisher, ml_operator', object.name);
        elsif object.proname in ('write_batch', 'write_tally', 'fold', 'drop_partitions') then
            execute format('grant execute on routine %s to ml_worker', object.name);
        end if;
    end loop;
end
$$;
grant select (score_edges, calibration_edges) on ml.models to ml_analyst, ml_operator;
