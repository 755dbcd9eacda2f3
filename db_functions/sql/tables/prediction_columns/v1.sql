-- What a prediction has to remember of its row to be judged later: the row itself may change.
alter table ml.predictions
    add column pattern_type        text,
    add column timeframe           text,
    add column rule_confidence     double precision,
    add column blended_confidence  double precision,
    add column threshold           double precision,
    -- Wider than before, so that what is there needs no second look.
    drop constraint predictions_role_check,
    add constraint predictions_role_check check (role in ('champion', 'standby', 'challenger', 'canary', 'replay')) not valid;
comment on column ml.predictions.pattern_type is 'as on the row when it was scored';
comment on column ml.predictions.timeframe is 'as on the row when it was scored';
comment on column ml.predictions.rule_confidence is 'as on the row when it was scored; null when it had none between 0 and 1';
comment on column ml.predictions.blended_confidence is 'the blend that the score and the settings of its moment gave';
comment on column ml.predictions.threshold is 'the setting when the row was scored';

-- Every row checked it, 5 us each, and workers took turns at a lock on the one row of their model. No model is ever
-- deleted: ml.retire keeps it.
alter table ml.predictions drop constraint predictions_model_id_fkey;
comment on column ml.predictions.role is
    'as whom the model scored: champion; standby, an earlier champion while the champion would not serve; canary; challenger; replay';
