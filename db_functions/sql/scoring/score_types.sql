-- What a worker sends, in binary; db_functions.composites writes it. After the release a type is
-- never altered: an open connection of the release before would write what this one reads wrongly.
-- A change is another type, with a function of its own.
create type ml_internal.run as (
    model_id      integer,            -- null: no model was asked
    role          text,               -- champion, standby, canary, challenger, replay
    inference_ms  real,
    rows          integer,            -- of the tally that follows; 0: there is none
    cells         integer[],
    counts        integer[],
    sums          double precision[],
    squares       double precision[]
);
comment on type ml_internal.run is
    'One model''s part in a batch, and how its scores fell into '
    'its frozen bins, as ml_internal.tallies keeps it';

create type ml_internal.score as (
    run            smallint,          -- the place of its run, from 1
    pattern_id     uuid,
    enqueued_at    timestamptz,       -- null: no latency is recorded
    reason         text,              -- null: offered to the blend; else why not
    ml_confidence  real,              -- null: there is no score
    probabilities  real[],
    quality        real,
    bars           smallint,
    history        double precision[],
    input_hash     bytea,
    features       real[]             -- null: the model gives none
);
comment on type ml_internal.score is 'What one model made of one pattern';

create type ml_internal.pair as (
    run         smallint,             -- of the challenger
    pattern_id  uuid,
    canary      boolean,
    challenger  real,
    champion    real
);
comment on type ml_internal.pair is 'The answers of a challenger and the champion to one pattern';

create type ml_internal.failure as (
    pattern_id      uuid,
    error           text,
    attempts        integer,
    input_snapshot  jsonb,
    marked          boolean           -- its pattern is to say that it failed
);
comment on type ml_internal.failure is 'A pattern that cannot be scored, and why';
