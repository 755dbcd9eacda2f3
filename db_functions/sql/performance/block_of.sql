-- Errors of means over rows come from sums over these blocks, a third of those of ml.skill: as long
-- as a label horizon, and a day at least.
create function ml_internal.block_of(detected_at timestamptz, block_days integer)
returns double precision
language sql stable parallel safe
return floor(date_part('epoch', detected_at) / (block_days * 28800.0::double precision));
comment on function ml_internal.block_of(timestamptz, integer) is
    'Number of the calendar block, a label horizon long, in which a pattern was detected';
