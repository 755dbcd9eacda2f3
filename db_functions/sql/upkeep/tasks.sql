create table ml_internal.tasks (task text primary key);
comment on table ml_internal.tasks is
    'A row to lock for each thing that one session at a time does';
insert into ml_internal.tasks
values ('fold'), ('fold_skill'), ('label_due'), ('label_outcomes'), ('check_alerts'),
       ('partitions');
