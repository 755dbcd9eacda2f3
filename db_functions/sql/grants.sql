-- Who may do what: r read, w lock rows, x call. Nothing for PUBLIC; applications need no right in
-- schema ml at all. ml_owner, which cannot log in, owns every object: what the functions may do is
-- what ml_owner may do.
do $$
declare
    granted  record;
begin
    for granted in
        select t.object, r.role,
               case r.right_of when 'x' then 'execute' when 'r' then 'select'
                    when 'rw' then 'select, update' end as rights
        from (values
            -- Tables, views and sequences             worker analyst publisher operator
            ('ml.alert_log',                       'r' , 'r' , 'r' , 'r'),
            ('ml.alerts',                          'r' , 'r' , 'r' , 'r'),
            ('ml.aliases',                         'r' , 'r' , 'r' , 'r'),
            ('ml.attribution_importance',          ''  , 'r' , 'r' , 'r'),
            ('ml.attributions',                    ''  , 'r' , 'r' , 'r'),
            ('ml.calibration',                     'r' , 'r' , 'r' , 'r'),
            ('ml.calibration_summary',             'r' , 'r' , 'r' , 'r'),
            ('ml.data_quality',                    'r' , 'r' , 'r' , 'r'),
            ('ml.failures',                        'r' , 'r' , 'r' , 'r'),
            ('ml.feature_drift',                   'r' , 'r' , 'r' , 'r'),
            ('ml.health',                          'r' , 'r' , 'r' , 'r'),
            ('ml.label_history',                   ''  , 'r' , 'r' , 'r'),
            ('ml.metrics',                         'r' , 'r' , 'r' , 'r'),
            ('ml.metrics_history',                 'r' , 'r' , 'r' , 'r'),
            ('ml.model_timeline',                  'r' , 'r' , 'r' , 'r'),
            ('ml.models',                          'r' , ''  , 'r' , ''),
            ('ml.parity_checks',                   'r' , 'r' , 'r' , 'r'),
            ('ml.performance_differences',         'r' , 'r' , 'r' , 'r'),
            ('ml.performance_estimated',           'r' , 'r' , 'r' , 'r'),
            ('ml.performance_gap',                 'r' , 'r' , 'r' , 'r'),
            ('ml.performance_realised',            'r' , 'r' , 'r' , 'r'),
            ('ml.prediction_drift',                'r' , 'r' , 'r' , 'r'),
            ('ml.predictions',                     'r' , 'r' , 'r' , 'r'),
            ('ml.queue',                           'rw', 'r' , 'r' , 'r'),
            ('ml.queue_id_seq',                    'r' , ''  , ''  , ''),
            ('ml.queue_status',                    'r' , 'r' , 'r' , 'r'),
            ('ml.reblend_preview',                 ''  , 'r' , 'r' , 'r'),
            ('ml.reblends',                        ''  , 'r' , 'r' , 'r'),
            ('ml.replay_differences',              ''  , 'r' , 'r' , 'r'),
            ('ml.replays',                         ''  , 'r' , 'r' , 'r'),
            ('ml.settings',                        'r' , 'r' , 'r' , 'r'),
            ('ml.settings_history',                ''  , 'r' , 'r' , 'r'),
            ('ml.shadow_comparison',               'r' , 'r' , 'r' , 'r'),
            ('ml.workers',                         'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_conditions',       'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_drift',            'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_performance',      'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_rates',            'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_states',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.alert_transitions',      'r' , 'r' , 'r' , 'r'),
            ('ml_internal.attributed_scores',      ''  , 'r' , 'r' , 'r'),
            ('ml_internal.bar_changes',            'r' , ''  , 'r' , ''),
            ('ml_internal.baselines',              'r' , 'r' , 'r' , 'r'),
            ('ml_internal.batches',                'r' , 'r' , 'r' , 'r'),
            ('ml_internal.bins',                   'r' , 'r' , 'r' , 'r'),
            ('ml_internal.challengers',            'r' , 'r' , 'r' , 'r'),
            ('ml_internal.champion',               'r' , 'r' , 'r' , 'r'),
            ('ml_internal.cohort_counts',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.cohorts',                'r' , 'r' , 'r' , 'r'),
            ('ml_internal.doorbell_muted_until',   'r' , ''  , ''  , ''),
            ('ml_internal.drift_windows',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.evidence',               ''  , 'r' , 'r' , 'r'),
            ('ml_internal.feature_counts',         'r' , 'r' , 'r' , 'r'),
            ('ml_internal.feature_rollups',        'r' , 'r' , 'r' , 'r'),
            ('ml_internal.folds',                  'r' , 'r' , 'r' , 'r'),
            ('ml_internal.fresh_cohorts',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.fresh_events',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.fresh_features',         'r' , 'r' , 'r' , 'r'),
            ('ml_internal.fresh_metrics',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.fresh_paired_weeks',     'r' , 'r' , 'r' , 'r'),
            ('ml_internal.live_workers',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.metric_counts',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.metric_rollups',         'r' , 'r' , 'r' , 'r'),
            ('ml_internal.outcome_changes',        'r' , 'r' , 'r' , 'r'),
            ('ml_internal.outcome_days',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.paired_counts',          'r' , 'r' , 'r' , 'r'),
            ('ml_internal.paired_weeks',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.schedule',               'r' , 'r' , 'r' , 'r'),
            ('ml_internal.shadow_pairs',           'r' , 'r' , 'r' , 'r'),
            ('ml_internal.tallies',                'r' , 'r' , 'r' , 'r'),
            -- Functions                               worker analyst publisher operator
            ('ml.acknowledge',                     ''  , ''  , ''  , 'x'),
            ('ml.alerts_json',                     ''  , 'x' , 'x' , 'x'),
            ('ml.challenge',                       ''  , ''  , ''  , 'x'),
            ('ml.disable',                         ''  , ''  , ''  , 'x'),
            ('ml.enable',                          ''  , ''  , ''  , 'x'),
            ('ml.explain_score',                   ''  , 'x' , 'x' , 'x'),
            ('ml.gates',                           ''  , 'x' , 'x' , 'x'),
            ('ml.health_json',                     ''  , 'x' , 'x' , 'x'),
            ('ml.label',                           ''  , 'x' , ''  , 'x'),
            ('ml.label_outcomes',                  'x' , ''  , 'x' , 'x'),
            ('ml.metrics_json',                    ''  , 'x' , 'x' , 'x'),
            ('ml.model_at',                        'x' , 'x' , 'x' , 'x'),
            ('ml.promote',                         ''  , ''  , ''  , 'x'),
            ('ml.reblend',                         ''  , ''  , ''  , 'x'),
            ('ml.redrive',                         ''  , ''  , ''  , 'x'),
            ('ml.retire',                          ''  , ''  , ''  , 'x'),
            ('ml.rollback',                        ''  , ''  , ''  , 'x'),
            ('ml.set',                             ''  , ''  , ''  , 'x'),
            ('ml.set_baseline',                    ''  , ''  , ''  , 'x'),
            ('ml_internal.add_arrays',             'x' , 'x' , 'x' , 'x'),
            ('ml_internal.apply_environment',      'x' , ''  , ''  , ''),
            ('ml_internal.blended',                ''  , 'x' , 'x' , 'x' ),
            ('ml_internal.block_weeks',            'x' , 'x' , 'x' , 'x'),
            ('ml_internal.bury_workers',           'x' , ''  , ''  , ''),
            ('ml_internal.check_alerts',           'x' , ''  , ''  , 'x'),
            ('ml_internal.chi_squared_critical',   'x' , 'x' , 'x' , 'x'),
            ('ml_internal.chi_squared_tail',       'x' , 'x' , 'x' , 'x'),
            ('ml_internal.clear_suspect',          'x' , ''  , ''  , ''),
            ('ml_internal.compare_shadow',         ''  , 'x' , 'x' , 'x'),
            ('ml_internal.decide',                 ''  , 'x' , 'x' , 'x' ),
            ('ml_internal.drop_partitions',        'x' , ''  , ''  , ''),
            ('ml_internal.fold',                   'x' , ''  , ''  , ''),
            ('ml_internal.fraction_of',            ''  , 'x' , 'x' , 'x'),
            ('ml_internal.heartbeat',              'x' , ''  , ''  , ''),
            ('ml_internal.label_due',              'x' , ''  , ''  , ''),
            ('ml_internal.helping_json',           ''  , 'x' , 'x' , 'x'),
            ('ml_internal.latency_bin',            'x' , 'x' , 'x' , 'x'),
            ('ml_internal.latency_quantiles',      'x' , 'x' , 'x' , 'x'),
            ('ml_internal.make_partitions',        'x' , ''  , ''  , 'x'),
            ('ml_internal.mark_suspect',           'x' , ''  , ''  , ''),
            ('ml_internal.measure_drift',          'x' , 'x' , 'x' , 'x'),
            ('ml_internal.metrics_between',        'x' , 'x' , 'x' , 'x'),
            ('ml_internal.mute_doorbell',          'x' , ''  , ''  , ''),
            ('ml_internal.normal_tail',            'x' , 'x' , 'x' , 'x'),
            ('ml_internal.ordered_pairs',          'x' , 'x' , 'x' , 'x'),
            ('ml_internal.page_json',              ''  , 'x' , 'x' , 'x'),
            ('ml_internal.prune',                  'x' , ''  , ''  , ''),
            ('ml_internal.record_parity',          'x' , ''  , 'x' , ''),
            ('ml_internal.register_model',         ''  , ''  , 'x' , ''),
            ('ml_internal.review_suspects',        'x' , ''  , ''  , ''),
            ('ml_internal.score_quantiles',        'x' , 'x' , 'x' , 'x'),
            ('ml_internal.start_worker',           'x' , ''  , ''  , ''),
            ('ml_internal.sum_arrays',             'x' , 'x' , 'x' , 'x'),
            ('ml_internal.sum_by_bin',             'x' , 'x' , 'x' , 'x'),
            ('ml_internal.t_quantile',             'x' , 'x' , 'x' , 'x'),
            ('ml_internal.usable_rule',            ''  , 'x' , 'x' , 'x' ),
            ('ml_internal.wilson',                 'x' , 'x' , 'x' , 'x'),
            ('ml_internal.write_attributions',     ''  , ''  , 'x' , ''),
            ('ml_internal.write_batch',            'x' , ''  , ''  , ''),
            ('ml_internal.write_replay',           ''  , ''  , 'x' , '')
        ) t (object, worker, analyst, publisher, operator)
        cross join lateral (values
            ('ml_worker', t.worker), ('ml_analyst', t.analyst), ('ml_publisher', t.publisher),
            ('ml_operator', t.operator)) r (role, right_of)
        where r.right_of <> ''
    loop
        if granted.rights = 'execute' then
            execute (select string_agg(format('grant execute on routine %s to %I',
                                              p.oid::regprocedure, granted.role), '; ')
                     from pg_catalog.pg_proc p
                     join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                     where n.nspname || '.' || p.proname = granted.object);
        else
            execute format('grant %s on %s to %I', granted.rights, granted.object, granted.role);
        end if;
    end loop;
end
$$;
-- Everything about a model except the file and its golden rows.
grant select (id, version, algorithm, bytes, sha256, contract_version, inputs, outputs,
              feature_names, min_bars, metrics, label_horizon, fitted_from, fitted_until,
              model_card, toolchain, score_edges, calibration_edges, created_at, created_by,
              retired_at, retired_by,
              retired_reason, unseen_from, first_passage_at)
    on ml.models to ml_analyst, ml_operator;
grant usage on schema ml, ml_internal to ml_worker, ml_analyst, ml_publisher, ml_operator;
