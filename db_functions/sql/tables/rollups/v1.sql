-- Counts that are written with the scores. A scoring transaction appends and touches no row of another's, so workers
-- never wait for each other here. ml.fold adds up what has been appended since its last snapshot; a view reads what is
-- folded and adds the rest. The transaction number says which is which, whatever order transactions commit in.

create table ml.batches (
    id             bigint generated always as identity (cache 1) primary key,
    xid            xid8 not null default pg_current_xact_id(),
    at             timestamptz not null,
    source         text not null check (source in ('live', 'backfill')),
    role           text not null check (role in ('champion', 'challenger', 'canary', 'standby')),
    model_id       integer,
    worker_id      bigint,
    inference_ms   real,
    sla_ms         double precision not null,
    cache_hits     integer not null default 0,
    cache_misses   integer not null default 0,
    reasons        text[] not null,
    latency_ms     double precision[] not null,
    classes        text[] not null,
    confidences    real[] not null,
    rules          double precision[] not null,
    blends         double precision[] not null,
    thresholds     double precision[] not null,
    pattern_types  text[] not null,
    timeframes     text[] not null
);
comment on table ml.batches is 'One row a batch of one model, appended with its scores: parallel arrays, an element a pattern';
comment on column ml.batches.reasons is 'as recorded in ml_metadata';
comment on column ml.batches.confidences is 'null where there is no score';
create index batches_by_xid on ml.batches (xid);

create table ml.tallies (
    id        bigint generated always as identity (cache 1) primary key,
    xid       xid8 not null default pg_current_xact_id(),
    at        timestamptz not null,
    source    text not null,
    role      text not null,
    model_id  integer not null,
    rows      integer not null check (rows > 0),
    cells     integer[] not null,
    counts    integer[] not null,
    sums      double precision[] not null,
    squares   double precision[] not null
);
comment on table ml.tallies is 'One row a batch of one model, appended with its scores: how many values fell in which of its cells';
comment on column ml.tallies.sums is 'sum of the finite values of each variable, by position in ml.bins; squares: of their squares';
create index tallies_by_xid on ml.tallies (xid);

create table ml.outcome_changes (
    id                  bigint generated always as identity (cache 1) primary key,
    xid                 xid8 not null default pg_current_xact_id(),
    written_at          timestamptz not null default clock_timestamp(),
    sign                smallint not null check (sign in (-1, 1)),
    scored_at           timestamptz not null,
    source              text not null,
    role                text not null,
    model_id            integer not null,
    pattern_type        text not null,
    timeframe           text not null,
    outcome             text not null check (outcome in ('positive', 'negative', 'neutral')),
    ml_confidence       real not null,
    rule_confidence     double precision,
    blended_confidence  double precision,
    threshold           double precision not null
);
comment on table ml.outcome_changes is 'Outcomes of predictions as they become known; a relabel takes the old one back with sign -1';
create index outcome_changes_by_xid on ml.outcome_changes (xid);

create table ml.folds (
    log        text primary key check (log in ('batches', 'tallies', 'cohorts')),
    snapshot   pg_snapshot not null default pg_current_snapshot(),
    folded_at  timestamptz not null default clock_timestamp()
);
comment on table ml.folds is 'Up to which snapshot the logs have been added up';
insert into ml.folds (log) values ('batches'), ('tallies'), ('cohorts');

create table ml.metric_rollups (
    grain            text not null check (grain in ('minute', 'hour', 'day')),
    bucket           timestamptz not null,
    model_id         integer,
    role             text not null,
    source           text not null,
    rows             bigint not null,
    scored           bigint not null,
    below_threshold  bigint not null,
    ml_disabled      bigint not null,
    no_model         bigint not null,
    insufficient_bars bigint not null,
    low_quality      bigint not null,
    failed           bigint not null,
    timed            bigint not null,
    within_sla       bigint not null,
    cache_hits       bigint not null,
    cache_misses     bigint not null,
    latency          double precision[] not null,
    inference        double precision[] not null,
    confidences      bigint not null,
    confidence_sum   double precision not null,
    confidence_squares double precision not null,
    negative         bigint not null,
    neutral          bigint not null,
    positive         bigint not null,
    scores           double precision[] not null,
    unique nulls not distinct (grain, bucket, model_id, role, source)
);
comment on table ml.metric_rollups is 'What was scored, how and how fast, per minute, hour and day';
comment on column ml.metric_rollups.latency is 'insert to score: counts in the bins of ml.latency_bin; inference likewise, of the graph alone';
comment on column ml.metric_rollups.scores is 'counts of ml_confidence in the bins of the model''s score_edges';

create table ml.feature_rollups (
    grain     text not null check (grain in ('hour', 'day')),
    bucket    timestamptz not null,
    model_id  integer not null,
    role      text not null,
    source    text not null,
    rows      bigint not null,
    cells     double precision[] not null,
    sums      double precision[] not null,
    squares   double precision[] not null,
    primary key (model_id, grain, bucket, role, source)
);
comment on table ml.feature_rollups is 'Counts of a model''s variables in its frozen cells, per hour and day';

create table ml.cohorts (
    cohort                       date,
    model_id                     integer not null,
    role                         text not null,
    source                       text not null,
    pattern_type                 text,
    timeframe                    text,
    score                        text not null check (score in ('ml', 'rule', 'blended')),
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
    compared                     bigint not null,
    gain                         double precision not null,
    gain_squares                 double precision not null,
    labelled_scores              double precision[] not null,
    positive_scores              double precision[] not null,
    calibration                  double precision[] not null,
    calibration_positives        double precision[] not null,
    calibration_sums             double precision[] not null,
    -- A curve costs a look at every bin: once when counts are folded, not at every reading.
    expected_pairs               double precision generated always as (ml.ordered_pairs(expected_scores, scores)) stored,
    pairs                        double precision generated always as (ml.ordered_pairs(positive_scores, labelled_scores)) stored,
    unique nulls not distinct (model_id, cohort, role, source, pattern_type, timeframe, score)
);
comment on table ml.cohorts is
    'Predictions by the UTC week in which they were made, pattern type and timeframe, and in all (null): sums and counts of each score';
comment on column ml.cohorts.cohort is 'the Monday of the week; null: all weeks. Null as pattern_type or timeframe: all of them';
comment on column ml.cohorts.score is 'whose probability the figures are about, here called s; m is always ml_confidence, y 1 for a positive outcome, else 0';
comment on column ml.cohorts.predictions is 'all of them, with or without a label, as are the next columns up to expected_scores';
comment on column ml.cohorts.called is 'at or above the threshold of their moment';
comment on column ml.cohorts.expected_positives is 'sum of m; expected_hits: of m where called';
comment on column ml.cohorts.expected_error is 'sum of s^2 - 2sm + m, the squared error that the model expects of s';
comment on column ml.cohorts.expected_log_loss is 'sum of -m ln(s) - (1 - m) ln(1 - s); s clipped at 2.2e-16 as scikit-learn clips';
comment on column ml.cohorts.scores is 'counts of s in the bins of score_edges; expected_scores: sum of m there';
comment on column ml.cohorts.labelled is 'those with a label, as are the next columns';
comment on column ml.cohorts.hits is 'positives that were called';
comment on column ml.cohorts.error is 'sum of (s - y)^2; own_error: of s (1 - s), what s expects of itself';
comment on column ml.cohorts.own_variance is 'sum of (1 - 2s)^2 s (1 - s): the variance of error when s is right';
comment on column ml.cohorts.labelled_error_variance is 'sum of (1 - 2s)^2 m (1 - m): the variance of error when the model is right';
comment on column ml.cohorts.compared is 'labelled predictions that have a rule confidence r; gain: sum of (r - y)^2 - (s - y)^2 over them, gain_squares: of its square';
comment on column ml.cohorts.labelled_scores is 'counts of s in the bins of score_edges; positive_scores: of those with a positive outcome';
comment on column ml.cohorts.calibration is 'counts of s in the bins of calibration_edges (tenths for rule and blended), calibration_positives: of positive outcomes there, calibration_sums: sum of s';
comment on column ml.cohorts.pairs is 'pairs of a positive and another prediction whose scores are in the right order, a tie within a bin counting half; expected_pairs: by what the model expects';
