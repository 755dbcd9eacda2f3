create table ml.alert_log (
    id               bigint generated always as identity primary key,
    type             text not null,
    subject          text not null,
    level            text not null check (level in ('warning', 'critical')),
    message          text not null,
    value            double precision,
    threshold        double precision,
    window_start     timestamptz,
    window_end       timestamptz,
    since            timestamptz not null,
    last_seen        timestamptz not null,
    cleared_at       timestamptz,
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    acknowledged_because text
);
comment on table ml.alert_log is
    'Every alert from the moment it was raised to the moment '
    'it cleared; cleared_at is null while it stands';
create unique index alert_log_open on ml.alert_log (type, subject) where cleared_at is null;
