-- One grid in time for everything that counts calendar blocks, so that a block keeps its borders.
create table ml_internal.skill_clock (
    singleton      boolean primary key default true check (singleton),
    block_days     integer not null check (block_days > 0),
    label_horizon  integer
);
comment on table ml_internal.skill_clock is
    'Days in a block of ml.skill, counted from 1970: three label horizons at least';
comment on column ml_internal.skill_clock.label_horizon is
    'the setting for which block_days was measured; null: not yet, and right for 20 daily bars';
insert into ml_internal.skill_clock (block_days) values (98);
