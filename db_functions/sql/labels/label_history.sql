create table ml.label_history (
    id          bigint generated always as identity primary key,
    pattern_id  uuid not null,
    old_label   text,
    new_label   text,
    reason      text not null,
    labeled_by  text not null,
    labeled_at  timestamptz not null default clock_timestamp()
);
comment on table ml.label_history is 'Labels set by people: who, when, why';
