create table ml.alert_log (
    id               bigint generated always as identity primary key,
    type             text not null,
    subject          text not null,
    level            text not null check (level in ('warning', 'critical')),
    message          text not null,
    value            double precision,
    threshold        double precision,
    since            timestamptz not null,
    last_seen        timestamptz not null,
    cleared_at       timestamptz,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    acknowledged_because text
);
comment on table ml.alert_log is 'Every alert from the moment it was raised to the moment it cleared; cleared_at is null while it stands';
create unique index alert_log_open on ml.alert_log (type, subject) where cleared_at is null;

create table ml.alert_transitions (
    id          bigint generated always as identity primary key,
    alert_id    bigint not null references ml.alert_log,
    old_level   text,
    new_level   text,
    value       double precision,
    at          timestamptz not null default clock_timestamp()
);
comment on table ml.alert_transitions is 'Every change of an alert''s level; null is before it was raised and after it cleared';
create index alert_transitions_by_alert on ml.alert_transitions (alert_id);
-- ml.health counts them; there are few.
create index failures_open on ml.failures (id) where redriven_at is null;

create table ml.schedule (
    task    text primary key check (task in ('label_outcomes')),
    ran_at  timestamptz not null default '-infinity'
);
comment on table ml.schedule is 'When what is done on a schedule was last done';
insert into ml.schedule (task) values ('label_outcomes');

alter table ml.settings
    add column label_every interval not null default '1 hour'
        constraint label_every_range check (label_every between interval '1 minute' and interval '365 days');
comment on column ml.settings.label_every is 'an interval of 1 minute to 365 days: how often workers label outcomes';
