-- Where the replays are among the predictions: few among many, they are found by pattern, not by
-- looking at all.
create table ml.replays (
    scored_at   timestamptz not null,
    pattern_id  uuid not null,
    model_id    integer not null,
    primary key (scored_at, pattern_id, model_id)
);
comment on table ml.replays is 'The predictions that are replays';
