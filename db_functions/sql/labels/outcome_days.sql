-- Daily counts of known outcomes by pattern type: the history inputs are read from here, never from
-- raw rows.
create table ml_internal.outcome_days (
    pattern_type  text not null,
    day           date not null,
    positives     integer not null default 0,
    total         integer not null default 0,
    primary key (pattern_type, day)
);
comment on table ml_internal.outcome_days is 'Outcomes by pattern type and UTC day of outcome_at';
