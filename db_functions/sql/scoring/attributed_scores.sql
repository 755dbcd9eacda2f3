-- Why scores are what they are, as training explained them. One row for each member of a model and
-- one for the whole: a hundred features make it half a kilobyte to two, where a row for each would
-- take ten.
create table ml_internal.attributed_scores (
    pattern_id       uuid not null,
    model_id         integer not null references ml.models,
    scored_at        timestamptz not null,
    member           text,
    scale            text not null check (scale in ('probability', 'log_odds')),
    base             double precision not null,
    answer           double precision not null,
    contributions    double precision[] not null,
    standard_errors  double precision[],
    sampled          boolean not null,
    computed_at      timestamptz not null,
    computed_by      text not null,
    constraint attributed_scores_key
        unique nulls not distinct (pattern_id, scored_at, model_id, member)
);
create index attributed_scores_by_time on ml_internal.attributed_scores (scored_at);
comment on table ml_internal.attributed_scores is
    'What each feature had to do with a score; ml.attributions has it feature by feature';
comment on column ml_internal.attributed_scores.member is
    'of the ensemble; null: the whole, calibrated';
comment on column ml_internal.attributed_scores.scale is
    'of base, answer and contributions; log_odds: ln '
    'P(positive) less the mean ln P of the other outcomes';
comment on column ml_internal.attributed_scores.base is
    'the mean answer over the model''s background rows';
comment on column ml_internal.attributed_scores.contributions is
    'in the order of ml.models.feature_names; they add up to answer - base';
comment on column ml_internal.attributed_scores.standard_errors is 'of an estimate; null: exact';
comment on column ml_internal.attributed_scores.sampled is
    'chosen by hash, not asked for: what averages may be taken over';
