create table ml_internal.schedule (
    task    text primary key check (task in ('label_outcomes', 'renew_weights')),
    ran_at  timestamptz not null default '-infinity'
);
comment on table ml_internal.schedule is 'When what is done on a schedule was last done';
insert into ml_internal.schedule (task) values ('label_outcomes'), ('renew_weights');
