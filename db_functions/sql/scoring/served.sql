-- The settings that the decision on a row obeys.
create type ml_internal.blending as (
    version      integer,
    enabled      boolean,
    threshold    double precision,
    ml_weight    double precision,
    rule_weight  double precision
);
comment on type ml_internal.blending is 'The settings that the decision on a row obeys';

create type ml_internal.due as (
    place          integer,              -- of the score, from 1
    pattern_id     uuid,
    ml_confidence  real,
    class          text,
    version        text,                 -- of the model; null where there is no score
    latency_ms     double precision,
    decision       text,
    rule           double precision,
    blended        double precision,
    metadata       jsonb
);
comment on type ml_internal.due is 'What a pattern that has been locked is to be given';

-- What comes back from pattern_events when the system writes to it.
create type ml_internal.served as (
    place             integer,           -- of the score, from 1
    pattern_type      text,
    timeframe         text,
    outcome_label     text,
    detected_at       timestamptz,
    class             text,
    rule              double precision,
    -- As the blend trigger left them.
    blended           double precision,
    confidence        double precision,
    decision          text,
    threshold         double precision,
    settings_version  integer,
    altered           boolean            -- differs from what was written
);
comment on type ml_internal.served is 'A pattern that took its score, as it stands after the write';

create type ml_internal.relabelled as (
    id             uuid,
    old_type       text,
    old_label      text,
    old_at         timestamptz,
    pattern_type   text,
    outcome_label  text,
    outcome_at     timestamptz,
    altered        boolean
);
comment on type ml_internal.relabelled is
    'A pattern that took a label: what it had, and what it has after the write';

create type ml_internal.refusal as (
    pattern_id  uuid,
    error       text
);
comment on type ml_internal.refusal is 'A pattern that did not let itself be written, and why';
