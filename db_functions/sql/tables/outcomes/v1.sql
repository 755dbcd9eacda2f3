-- Daily counts of known outcomes by pattern type: the history inputs are read from here, never from raw rows.
create table ml.outcome_days (
    pattern_type  text not null,
    day           date not null,
    positives     integer not null default 0,
    total         integer not null default 0,
    primary key (pattern_type, day)
);
comment on table ml.outcome_days is 'Outcomes by pattern type and UTC day of outcome_at';

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
