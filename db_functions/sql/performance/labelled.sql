-- What ml_internal.evidence says, kept narrow: ml.predictions holds the features too, so that a
-- question over a million of its rows reads a gigabyte. ml_internal.renew_labelled keeps it.
create table ml_internal.labelled (
    pattern_id     uuid not null,
    model_id       integer not null,
    role           text not null,
    source         text not null,
    scored_at      timestamptz not null,
    detected_at    timestamptz not null,
    pattern_type   text not null,
    timeframe      text not null,
    y              double precision not null,
    ml             double precision not null,
    rule           double precision,
    served         double precision,
    first_passage  double precision,
    base_rate      double precision not null,
    reason         text,
    seen           boolean not null,
    waited_s       double precision,
    bars           integer,
    -- Whole days group a million rows three times faster than moments.
    day            integer not null generated always as (
                       (detected_at at time zone 'UTC')::date - date '1970-01-01') stored,
    primary key (pattern_id, model_id, role, source)
);
create index labelled_by_time on ml_internal.labelled (model_id, day);
comment on table ml_internal.labelled is
    'The newest labelled prediction of each pattern by each model, role and source; it stays '
    'while its pattern does, even when ml.predictions has been pruned';
comment on column ml_internal.labelled.y is '1 for a positive outcome, else 0';
comment on column ml_internal.labelled.base_rate is
    'share of positives among outcomes of this pattern type that were known when the row was '
    'scored, (positives + 1) / (all + 2)';
comment on column ml_internal.labelled.reason is
    'low_quality where the score was not offered to the blend, else null';
comment on column ml_internal.labelled.seen is 'whether the model may have learnt from this row';
comment on column ml_internal.labelled.waited_s is
    'seconds from detected_at to the outcome, which took so many bars';
comment on column ml_internal.labelled.day is 'days from 1970 to detected_at, UTC';
