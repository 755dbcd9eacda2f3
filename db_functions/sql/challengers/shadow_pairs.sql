-- A challenger's score beside the champion's of the same row, from the same inputs, written in the
-- same transaction. What is compared is read from here, for it is narrow; the challenger's whole
-- answer is in ml.predictions.
create table ml_internal.shadow_pairs (
    challenger_id  integer not null,
    champion_id    integer not null,
    scored_at      timestamptz not null,
    pattern_id     uuid not null,
    pattern_type   text not null,
    canary         boolean not null,
    challenger     real not null,
    champion       real not null,
    inference_ms   real not null
);
comment on table ml_internal.shadow_pairs is
    'Rows that champion and challenger scored side by side, with both answers';
comment on column ml_internal.shadow_pairs.canary is
    'true: the challenger''s score went to the row, and the champion''s only here';
comment on column ml_internal.shadow_pairs.inference_ms is
    'what the challenger took for the whole batch that the row was in';
-- No foreign keys: ml.predictions has them for the same models, and each is a lookup a row.
create index shadow_pairs_by_models
    on ml_internal.shadow_pairs (challenger_id, champion_id, scored_at);
create index shadow_pairs_by_time on ml_internal.shadow_pairs using brin (scored_at);
