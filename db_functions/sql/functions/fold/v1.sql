-- Adds up what the logs hold and no earlier run has seen. "Seen" is a question to the snapshot of that run, not to an id
-- or a moment, for transactions commit in any order. Each statement that reads a log also takes the snapshot that is
-- kept, so the two agree: nothing is counted twice, nothing is left out.
create or replace function ml.fold() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    folded integer;
begin
    -- In a transaction that has appended to the logs itself, some of its rows would be taken for seen before they are.
    if pg_current_xact_id_if_assigned() is not null then
        raise exception 'ml.fold() wants a transaction of its own' using errcode = 'active_sql_transaction';
    end if;
    -- One run at a time; a second one has nothing to add.
    if not pg_try_advisory_xact_lock(hashtext('ml.fold')) then
        return 0;
    end if;
    if (select bool_or(pg_snapshot_xmin(f.snapshot) > pg_snapshot_xmax(pg_current_snapshot())) from ml.folds f) then
        perform ml.renumber_logs();
        return 0;
    end if;

    with added as (
        insert into ml.metric_rollups as r select * from ml.fresh_metrics
        on conflict (grain, bucket, model_id, role, source) do update set
            rows = r.rows + excluded.rows, scored = r.scored + excluded.scored,
            below_threshold = r.below_threshold + excluded.below_threshold, ml_disabled = r.ml_disabled + excluded.ml_disabled,
            no_model = r.no_model + excluded.no_model, insufficient_bars = r.insufficient_bars + excluded.insufficient_bars,
            low_quality = r.low_quality + excluded.low_quality, failed = r.failed + excluded.failed,
            timed = r.timed + excluded.timed, within_sla = r.within_sla + excluded.within_sla,
            cache_hits = r.cache_hits + excluded.cache_hits, cache_misses = r.cache_misses + excluded.cache_misses,
            latency = ml.add_arrays(r.latency, excluded.latency), inference = ml.add_arrays(r.inference, excluded.inference),
            confidences = r.confidences + excluded.confidences, confidence_sum = r.confidence_sum + excluded.confidence_sum,
            confidence_squares = r.confidence_squares + excluded.confidence_squares,
            negative = r.negative + excluded.negative, neutral = r.neutral + excluded.neutral,
            positive = r.positive + excluded.positive, scores = ml.add_arrays(r.scores, excluded.scores)
        returning case when r.grain = 'day' then 1 end
    ), marked as (
        update ml.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp() where log = 'batches'
    )
    select count(*) into folded from added;

    with added as (
        insert into ml.feature_rollups as r select * from ml.fresh_features
        on conflict (model_id, grain, bucket, role, source) do update set
            rows = r.rows + excluded.rows, cells = ml.add_arrays(r.cells, excluded.cells),
            sums = ml.add_arrays(r.sums, excluded.sums), squares = ml.add_arrays(r.squares, excluded.squares)
    )
    update ml.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp() where log = 'tallies';

    with added as (
        insert into ml.cohorts as r (
            cohort, model_id, role, source, pattern_type, timeframe, score, predictions, called, expected_positives,
            expected_hits, expected_error, expected_log_loss, scores, expected_scores, labelled, positives, labelled_called,
            hits, score_sum, error, log_loss, own_error, own_variance, labelled_expected_positives, labelled_expected_hits,
            labelled_expected_error, labelled_error_variance, compared, gain, gain_squares, labelled_scores,
            positive_scores, calibration, calibration_positives, calibration_sums)
        select cohort, model_id, role, source, pattern_type, timeframe, score, predictions, called, expected_positives,
               expected_hits, expected_error, expected_log_loss, scores, expected_scores, labelled, positives,
               labelled_called, hits, score_sum, error, log_loss, own_error, own_variance, labelled_expected_positives,
               labelled_expected_hits, labelled_expected_error, labelled_error_variance, compared, gain, gain_squares,
               labelled_scores, positive_scores, calibration, calibration_positives, calibration_sums
        from ml.fresh_cohorts
        on conflict (model_id, cohort, role, source, pattern_type, timeframe, score) do update set
            predictions = r.predictions + excluded.predictions, called = r.called + excluded.called,
            expected_positives = r.expected_positives + excluded.expected_positives,
            expected_hits = r.expected_hits + excluded.expected_hits,
            expected_error = r.expected_error + excluded.expected_error,
            expected_log_loss = r.expected_log_loss + excluded.expected_log_loss,
            scores = ml.add_arrays(r.scores, excluded.scores),
            expected_scores = ml.add_arrays(r.expected_scores, excluded.expected_scores),
            labelled = r.labelled + excluded.labelled, positives = r.positives + excluded.positives,
            labelled_called = r.labelled_called + excluded.labelled_called, hits = r.hits + excluded.hits,
            score_sum = r.score_sum + excluded.score_sum, error = r.error + excluded.error,
            log_loss = r.log_loss + excluded.log_loss, own_error = r.own_error + excluded.own_error,
            own_variance = r.own_variance + excluded.own_variance,
            labelled_expected_positives = r.labelled_expected_positives + excluded.labelled_expected_positives,
            labelled_expected_hits = r.labelled_expected_hits + excluded.labelled_expected_hits,
            labelled_expected_error = r.labelled_expected_error + excluded.labelled_expected_error,
            labelled_error_variance = r.labelled_error_variance + excluded.labelled_error_variance,
            compared = r.compared + excluded.compared, gain = r.gain + excluded.gain,
            gain_squares = r.gain_squares + excluded.gain_squares,
            labelled_scores = ml.add_arrays(r.labelled_scores, excluded.labelled_scores),
            positive_scores = ml.add_arrays(r.positive_scores, excluded.positive_scores),
            calibration = ml.add_arrays(r.calibration, excluded.calibration),
            calibration_positives = ml.add_arrays(r.calibration_positives, excluded.calibration_positives),
            calibration_sums = ml.add_arrays(r.calibration_sums, excluded.calibration_sums)
    )
    update ml.folds set snapshot = pg_current_snapshot(), folded_at = clock_timestamp() where log = 'cohorts';
    return folded;
end
$$;
comment on function ml.fold() is 'Adds the newest counts to the rollups; returns how many rollups of metrics changed';

-- A dump restored into another cluster brings transaction numbers that have no meaning there; where that cluster has
-- counted less far, new rows would look as if they had been seen.
create or replace function ml.renumber_logs() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own  xid8;
begin
    lock table ml.batches, ml.tallies, ml.outcome_changes in exclusive mode;
    -- What was folded before the dump goes; what is left, old and new, becomes this transaction's.
    delete from ml.batches b
    where b.at <= (select min(f.folded_at) from ml.folds f where f.log in ('batches', 'cohorts'))
      and pg_visible_in_snapshot(b.xid, (select f.snapshot from ml.folds f where f.log = 'batches'))
      and pg_visible_in_snapshot(b.xid, (select f.snapshot from ml.folds f where f.log = 'cohorts'));
    delete from ml.tallies t using ml.folds f
    where f.log = 'tallies' and t.at <= f.folded_at and pg_visible_in_snapshot(t.xid, f.snapshot);
    delete from ml.outcome_changes c using ml.folds f
    where f.log = 'cohorts' and c.written_at <= f.folded_at and pg_visible_in_snapshot(c.xid, f.snapshot);
    own := pg_current_xact_id();
    update ml.batches set xid = own;
    update ml.tallies set xid = own;
    update ml.outcome_changes set xid = own;
    -- Everything below this transaction has been seen, but for what is still running.
    update ml.folds set snapshot = (
        select format('%s:%s:%s', least(pg_snapshot_xmin(s)::text::numeric, own::text::numeric), own,
                      (select string_agg(x::text, ',' order by x::text::numeric) from pg_snapshot_xip(s) x where x < own))::pg_snapshot
        from pg_current_snapshot() s);
end
$$;
comment on function ml.renumber_logs() is 'Internal: after a restore into another cluster, lets the logs be folded there';
