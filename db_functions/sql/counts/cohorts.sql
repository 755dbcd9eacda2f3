create table ml_internal.cohorts (
    cohort                       date,
    detected_month               date,
    model_id                     integer not null,
    role                         text not null,
    source                       text not null,
    pattern_type                 text,
    timeframe                    text,
    score                        text not null check (score in (
                                     'ml', 'rule', 'blended', 'served', 'first_passage')),
    predictions                  bigint not null,
    called                       bigint not null,
    expected_positives           double precision not null,
    expected_hits                double precision not null,
    expected_error               double precision not null,
    expected_log_loss            double precision not null,
    scores                       double precision[] not null,
    expected_scores              double precision[] not null,
    labelled                     bigint not null,
    positives                    bigint not null,
    labelled_called              bigint not null,
    hits                         bigint not null,
    score_sum                    double precision not null,
    error                        double precision not null,
    log_loss                     double precision not null,
    own_error                    double precision not null,
    own_variance                 double precision not null,
    labelled_expected_positives  double precision not null,
    labelled_expected_hits       double precision not null,
    labelled_expected_error      double precision not null,
    labelled_error_variance      double precision not null,
    labelled_scores              double precision[] not null,
    positive_scores              double precision[] not null,
    calibration                  double precision[] not null,
    calibration_positives        double precision[] not null,
    calibration_sums             double precision[] not null,
    -- A curve costs a look at every bin: once when counts are folded, not at every reading.
    expected_pairs               double precision generated always as (
        ml_internal.ordered_pairs(expected_scores, scores)) stored,
    pairs                        double precision generated always as (
        ml_internal.ordered_pairs(positive_scores, labelled_scores)) stored,
    unique nulls not distinct (model_id, cohort, detected_month, role, source, pattern_type,
                               timeframe, score)
);
comment on table ml_internal.cohorts is
    'Predictions by the UTC week in which they were made, or by the UTC month that the pattern '
    'was detected in, by pattern type and timeframe, and in all (null): sums and counts of each '
    'score';
comment on column ml_internal.cohorts.cohort is
    'the Monday of the week; null: all weeks. Null as detected_month, pattern_type or timeframe: '
    'all of them';
comment on column ml_internal.cohorts.source is
    'live, backfill, or seen_in_training: rows that are no evidence for or against the model';
comment on column ml_internal.cohorts.score is
    'whose probability the figures are about, here called s; m is '
    'always ml_confidence, y 1 for a positive outcome, else 0';
comment on column ml_internal.cohorts.predictions is
    'all of them, with or without a label, as are the next columns up to expected_scores';
comment on column ml_internal.cohorts.called is 'at or above the threshold of their moment';
comment on column ml_internal.cohorts.expected_positives is
    'sum of m; expected_hits: of m where called';
comment on column ml_internal.cohorts.expected_error is
    'sum of s^2 - 2sm + m, the squared error that the model expects of s';
comment on column ml_internal.cohorts.expected_log_loss is
    'sum of -m ln(s) - (1 - m) ln(1 - s); s clipped at 2.2e-16 as scikit-learn clips';
comment on column ml_internal.cohorts.scores is
    'counts of s in the bins of score_edges; expected_scores: sum of m there';
comment on column ml_internal.cohorts.labelled is 'those with a label, as are the next columns';
comment on column ml_internal.cohorts.hits is 'positives that were called';
comment on column ml_internal.cohorts.error is
    'sum of (s - y)^2; own_error: of s (1 - s), what s expects of itself';
comment on column ml_internal.cohorts.own_variance is
    'sum of (1 - 2s)^2 s (1 - s): the variance of error when s is right';
comment on column ml_internal.cohorts.labelled_error_variance is
    'sum of (1 - 2s)^2 m (1 - m): the variance of error when the model is right';
comment on column ml_internal.cohorts.labelled_scores is
    'counts of s in the bins of score_edges; positive_scores: of those with a positive outcome';
comment on column ml_internal.cohorts.calibration is
    'counts of s in the bins of calibration_edges (tenths for the others), '
    'calibration_positives: of positive outcomes there, calibration_sums: sum of s';
comment on column ml_internal.cohorts.pairs is
    'pairs of a positive and another prediction whose scores are in the right order, a '
    'tie within a bin counting half; expected_pairs: by what the model expects';
