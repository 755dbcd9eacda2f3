-- Sums of paired differences of Brier scores, small enough to be added up to calendar blocks of any
-- number of weeks: what standard errors are made of (ml.performance_differences).
create table ml_internal.paired_weeks (
    model_id          integer not null,
    cohort            date not null,
    detected_week     date not null,
    detected_month    date not null,
    role              text not null,
    source            text not null,
    pattern_type      text not null,
    timeframe         text not null,
    labelled          bigint not null,
    positives         bigint not null,
    ml_error          double precision not null,
    served            bigint not null,
    served_positives  bigint not null,
    served_error      double precision not null,
    served_ml         double precision not null,
    ruled             bigint not null,
    ml_rule           double precision not null,
    served_rule       double precision not null,
    passed            bigint not null,
    ml_passage        double precision not null,
    served_passed     bigint not null,
    served_passage    double precision not null,
    primary key (model_id, cohort, detected_week, detected_month, role, source, pattern_type,
                 timeframe)
);
comment on table ml_internal.paired_weeks is
    'Labelled predictions by the UTC weeks in which they were made and detected: sums of squared '
    'errors, and of their differences between two scores';
comment on column ml_internal.paired_weeks.source is
    'live, backfill, or seen_in_training: rows that are no evidence for or against the model';
comment on column ml_internal.paired_weeks.ml_error is 'sum of (ml - y)^2';
comment on column ml_internal.paired_weeks.served is
    'predictions with a served confidence, as are the next columns up to served_ml';
comment on column ml_internal.paired_weeks.served_ml is
    'sum of (served - y)^2 - (ml - y)^2; the other pairs likewise';
comment on column ml_internal.paired_weeks.ruled is
    'predictions with a rule confidence, over which ml_rule and served_rule are summed';
comment on column ml_internal.paired_weeks.passed is
    'predictions with a first passage, over which ml_passage is summed; served_passed, '
    'served_passage: those that also have a served confidence';
