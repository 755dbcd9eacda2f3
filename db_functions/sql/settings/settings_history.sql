create table ml.settings_history (
    id          bigint generated always as identity primary key,
    version     integer not null,
    name        text not null,
    old_value   text,
    new_value   text,
    reason      text not null,
    source      text not null check (source in ('sql', 'environment', 'learned')),
    changed_by  text not null,
    changed_at  timestamptz not null default clock_timestamp()
);
comment on table ml.settings_history is
    'Every change of a setting: what, who, when, why; source learned: by the system, with its '
    'evidence';
