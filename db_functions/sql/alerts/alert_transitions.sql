create table ml_internal.alert_transitions (
    id          bigint generated always as identity primary key,
    alert_id    bigint not null references ml.alert_log,
    old_level   text,
    new_level   text,
    value       double precision,
    at          timestamptz not null default clock_timestamp()
);
comment on table ml_internal.alert_transitions is
    'Every change of an alert''s level; null is before it was raised and after it cleared';
