-- How far ml_internal.bar_changes has been pruned. Pruning turn n removes what the snapshot of turn
-- n - 1 showed, so a reader that has looked since then has heard of it; one that finds the turn
-- more than one further than at its last look forgets what it keeps. No clock decides.
create table ml_internal.bar_horizon (
    turn      bigint not null default 0,
    snapshot  pg_snapshot not null default pg_current_snapshot(),
    taken_at  timestamptz not null default clock_timestamp()
);
comment on table ml_internal.bar_horizon is
    'How often the log of bar changes was pruned, and what the next pruning may remove';
insert into ml_internal.bar_horizon default values;
