alter table ml.settings
    add column announce text not null default 'off'
        constraint announce_range check (announce in ('on', 'off'));
comment on column ml.settings.announce is 'on or off: on sends the ids of new rows that were scored or fell back to listeners of ml_scored';
