-- Adds up what the logs hold and no earlier run has seen. "Seen" is a question to the snapshot of
-- that run, not to an id or a moment, for transactions commit in any order. Each statement that
-- reads a log also takes the snapshot that is kept, so the two agree: nothing is counted twice,
-- nothing is left out.
create or replace function ml_internal.fold() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    folded integer;
begin
    -- In a transaction that has appended to the logs itself, some of its rows would be taken for
    -- seen before they are.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'ml_internal.fold() wants a transaction of its own'
            using errcode = 'active_sql_transaction';
    end if;
    -- One run at a time; a second one has nothing to add.
    if not ml_internal.take_task('fold') then
        return 0;
    end if;
    -- After a restore: numbers of another cluster say nothing here, whichever of the two is ahead.
    if exists (select from ml_internal.folds f
               where f.cluster <> (select c.system_identifier from pg_control_system() c)) then
        perform ml_internal.renumber_logs();
        return 0;
    end if;

    with added as (
        insert into ml_internal.metric_rollups as r select * from ml_internal.fresh_metrics
        on conflict (grain, bucket, model_id, role, source) do update set
            rows = r.rows + excluded.rows, scored = r.scored + excluded.scored,
            below_threshold = r.below_threshold + excluded.below_threshold,
            ml_disabled = r.ml_disabled + excluded.ml_disabled,
            no_model = r.no_model + excluded.no_model,
            insufficient_bars = r.insufficient_bars + excluded.insufficient_bars,
            low_quality = r.low_quality + excluded.low_quality, failed = r.failed + excluded.failed,
            timed = r.timed + excluded.timed, within_sla = r.within_sla + excluded.within_sla,
            cache_hits = r.cache_hits + excluded.cache_hits,
            cache_misses = r.cache_misses + excluded.cache_misses,
            latency = ml_internal.add_arrays(r.latency, excluded.latency),
            inference = ml_internal.add_arrays(r.inference, excluded.inference),
            confidences = r.confidences + excluded.confidences,
            confidence_sum = r.confidence_sum + excluded.confidence_sum,
            confidence_squares = r.confidence_squares + excluded.confidence_squares,
            negative = r.negative + excluded.negative, neutral = r.neutral + excluded.neutral,
            positive = r.positive + excluded.positive,
            scores = ml_internal.add_arrays(r.scores, excluded.scores)
        returning case when r.grain = 'day' then 1 end
    ), marked as (
        update ml_internal.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp()
        where log = 'batches'
    )
    select count(*) into folded from added;

    with added as (
        insert into ml_internal.feature_rollups as r select * from ml_internal.fresh_features
        on conflict (model_id, grain, bucket, role, source) do update set
            rows = r.rows + excluded.rows, cells = ml_internal.add_arrays(r.cells, excluded.cells),
            sums = ml_internal.add_arrays(r.sums, excluded.sums),
            squares = ml_internal.add_arrays(r.squares, excluded.squares)
    )
    update ml_internal.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp()
    where log = 'tallies';

    with added as (
        insert into ml_internal.cohorts as r (
            cohort, detected_month, model_id, role, source, pattern_type, timeframe, score,
            predictions, called,
            expected_positives, expected_hits, expected_error, expected_log_loss, scores,
            expected_scores, labelled, positives, labelled_called, hits, score_sum, error, log_loss,
            own_error, own_variance, labelled_expected_positives, labelled_expected_hits,
            labelled_expected_error, labelled_error_variance,
            labelled_scores,
            positive_scores, calibration, calibration_positives, calibration_sums)
        select cohort, detected_month, model_id, role, source, pattern_type, timeframe, score,
               predictions, called,
               expected_positives, expected_hits, expected_error, expected_log_loss, scores,
               expected_scores, labelled, positives, labelled_called, hits, score_sum, error,
               log_loss, own_error, own_variance, labelled_expected_positives,
               labelled_expected_hits, labelled_expected_error, labelled_error_variance,
               labelled_scores, positive_scores, calibration,
               calibration_positives,
               calibration_sums
        from ml_internal.fresh_cohorts
        on conflict (model_id, cohort, detected_month, role, source, pattern_type, timeframe, score)
        do update set
            predictions = r.predictions + excluded.predictions, called = r.called + excluded.called,
            expected_positives = r.expected_positives + excluded.expected_positives,
            expected_hits = r.expected_hits + excluded.expected_hits,
            expected_error = r.expected_error + excluded.expected_error,
            expected_log_loss = r.expected_log_loss + excluded.expected_log_loss,
            scores = ml_internal.add_arrays(r.scores, excluded.scores),
            expected_scores = ml_internal.add_arrays(r.expected_scores, excluded.expected_scores),
            labelled = r.labelled + excluded.labelled, positives = r.positives + excluded.positives,
            labelled_called = r.labelled_called + excluded.labelled_called,
            hits = r.hits + excluded.hits, score_sum = r.score_sum + excluded.score_sum,
            error = r.error + excluded.error, log_loss = r.log_loss + excluded.log_loss,
            own_error = r.own_error + excluded.own_error,
            own_variance = r.own_variance + excluded.own_variance,
            labelled_expected_positives = r.labelled_expected_positives
                + excluded.labelled_expected_positives,
            labelled_expected_hits = r.labelled_expected_hits + excluded.labelled_expected_hits,
            labelled_expected_error = r.labelled_expected_error + excluded.labelled_expected_error,
            labelled_error_variance = r.labelled_error_variance + excluded.labelled_error_variance,
            labelled_scores = ml_internal.add_arrays(r.labelled_scores, excluded.labelled_scores),
            positive_scores = ml_internal.add_arrays(r.positive_scores, excluded.positive_scores),
            calibration = ml_internal.add_arrays(r.calibration, excluded.calibration),
            calibration_positives = ml_internal.add_arrays(r.calibration_positives,
                                                           excluded.calibration_positives),
            calibration_sums = ml_internal.add_arrays(r.calibration_sums, excluded.calibration_sums)
    ), paired as (
        insert into ml_internal.paired_weeks as r select * from ml_internal.fresh_paired_weeks
        on conflict (model_id, cohort, detected_week, detected_month, role, source, pattern_type,
                     timeframe)
        do update set
            labelled = r.labelled + excluded.labelled, positives = r.positives + excluded.positives,
            ml_error = r.ml_error + excluded.ml_error, served = r.served + excluded.served,
            served_positives = r.served_positives + excluded.served_positives,
            served_error = r.served_error + excluded.served_error,
            served_ml = r.served_ml + excluded.served_ml, ruled = r.ruled + excluded.ruled,
            ml_rule = r.ml_rule + excluded.ml_rule,
            served_rule = r.served_rule + excluded.served_rule,
            passed = r.passed + excluded.passed, ml_passage = r.ml_passage + excluded.ml_passage,
            served_passed = r.served_passed + excluded.served_passed,
            served_passage = r.served_passage + excluded.served_passage
    )
    update ml_internal.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp()
    where log = 'cohorts';
    return folded;
end
$$;
comment on function ml_internal.fold() is
    'Adds the newest counts to the rollups; returns how many rollups of metrics changed';
