-- Insert-only, so that no writer waits for another.
create table ml_internal.stale_skill (
    model_id  integer not null,
    day       integer not null
);
comment on table ml_internal.stale_skill is
    'Days on which labelled rows changed since their block of ml_internal.skill_sums was summed; '
    'until the next ml_internal.fold_skill such a block is summed when it is read';
