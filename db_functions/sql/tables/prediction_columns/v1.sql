-- What a prediction has to remember of its row to be judged later: the row itself may change.
alter table ml.predictions
    add column pattern_type        text,
    add column timeframe           text,
    add column rule_confidence     double precision,
    add column blended_confidence  double precision,
    add column threshold           double precision;
comment on column ml.predictions.pattern_type is 'as on the row when it was scored';
comment on column ml.predictions.timeframe is 'as on the row when it was scored';
comment on column ml.predictions.rule_confidence is 'as on the row when it was scored; null when it had none between 0 and 1';
comment on column ml.predictions.blended_confidence is 'the blend that the score and the settings of its moment gave';
comment on column ml.predictions.threshold is 'the setting when the row was scored';
