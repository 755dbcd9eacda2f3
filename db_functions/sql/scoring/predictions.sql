-- Every score ever made. Partitioned by month, so that retention drops tables and never deletes
-- rows. No foreign key on the model: each row would check it, 5 us, and workers would take turns at
-- a lock on the one row of their model; models are never deleted. What a prediction remembers of
-- its row is what it is judged by later: the row itself may change.
create table ml.predictions (
    pattern_id        uuid not null,
    model_id          integer not null,
    role              text not null,
    scored_at         timestamptz not null,
    ml_confidence     real not null,
    probabilities     real[] not null,
    quality           real not null,
    reason            text,
    features          real[],
    history           double precision[] not null,
    bars              smallint not null,
    latency_ms        double precision,
    inference_ms      real,
    settings_version  integer not null,
    input_hash        bytea not null,
    worker_id         bigint,
    pattern_type        text,
    timeframe           text,
    rule_confidence     double precision,
    blended_confidence  double precision,
    threshold           double precision,
    detected_at         timestamptz,
    served              double precision,
    first_passage       real,
    seen                boolean
) partition by range (scored_at);
comment on table ml.predictions is
    'Every score ever made, with the features and history values it was made from';
comment on column ml.predictions.pattern_id is 'the pattern';
comment on column ml.predictions.model_id is 'the model, in ml.models';
comment on column ml.predictions.scored_at is 'when the score was written; months are partitions';
comment on column ml.predictions.ml_confidence is 'calibrated P(positive outcome), as answered';
comment on column ml.predictions.probabilities is 'negative, neutral, positive, as answered';
comment on column ml.predictions.quality is 'share of the features that were present, 0 to 1';
comment on column ml.predictions.features is 'as answered, in the order of ml.models.feature_names';
comment on column ml.predictions.bars is 'bars in the window, at most 128';
comment on column ml.predictions.inference_ms is
    'what the graph took for the batch that the row was in, milliseconds';
comment on column ml.predictions.settings_version is
    'of the settings that decided, as in ml.settings_history';
comment on column ml.predictions.worker_id is 'row of ml.workers; null where no worker wrote it';
comment on column ml.predictions.reason is
    'why the score was not used (low_quality), null when it was offered to the blend';
comment on column ml.predictions.history is
    'the history input as used, kept so that a replay uses the same values';
comment on column ml.predictions.latency_ms is
    'insert to score in milliseconds; null for backfill and replay';
comment on column ml.predictions.input_hash is
    'first 16 bytes of the SHA-256 of all model inputs of this row';
comment on column ml.predictions.pattern_type is 'as on the row when it was scored';
comment on column ml.predictions.timeframe is 'as on the row when it was scored';
comment on column ml.predictions.rule_confidence is
    'as on the row when it was scored; null when it had none between 0 and 1';
comment on column ml.predictions.blended_confidence is
    'the blend that the score and the settings of its moment gave';
comment on column ml.predictions.threshold is 'the setting when the row was scored';
comment on column ml.predictions.detected_at is 'as on the row when it was scored';
comment on column ml.predictions.served is
    'confidence as applications read it after the write; of a challenger or replay what the '
    'settings of its moment would have served. A later ml.reblend does not change it';
comment on column ml.predictions.first_passage is
    'P(target) by first passage that the model itself computed for the row, with corrections where '
    'it has them (ml.models.first_passage_at); null where it has no such feature or no value';
comment on column ml.predictions.seen is
    'true: detected before ml.models.unseen_from, so no evidence for or against the model';
comment on column ml.predictions.role is
    'as whom the model scored: champion; standby, an earlier champion '
    'while the champion would not serve; canary; challenger; replay';
create index predictions_by_pattern on ml.predictions (pattern_id, scored_at);
create table ml.predictions_default partition of ml.predictions default;
