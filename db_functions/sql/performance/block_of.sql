-- Errors of means over rows come from sums over these blocks, a third of those of ml.skill: as long
-- as a label horizon, and a day at least.
create function ml_internal.block_of(day integer, block_days integer) returns integer
language sql immutable parallel safe
return day * 3 / block_days;
comment on function ml_internal.block_of(integer, integer) is
    'Number of the calendar block, a label horizon long, of a day counted from 1970';
