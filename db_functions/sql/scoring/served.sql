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
