-- How many whole weeks hold one label horizon: the least block of calendar time whose sums are
-- nearly independent. Of intraday bars a week has 32.5 hours, of daily bars five. An unknown name
-- is taken for daily.
create function ml_internal.block_weeks(timeframe text, horizon integer) returns integer
language sql immutable parallel safe
return greatest(1, ceil(horizon * coalesce(substring(timeframe from '^\d{1,4}'), '1')::numeric
    * case
        when timeframe ~ '^\d*\s*(m|min|mins|minute|minutes)$' then 1 / 1950.0
        when timeframe ~* '^\d*\s*(h|hour|hours)$' then 1 / 32.5
        when timeframe ~* '^\d*\s*(w|week|weeks|weekly)$' then 1
        when timeframe ~* '^\d*\s*(m|mo|month|months|monthly)$' then 4.35
        else 0.2 end))::integer;
comment on function ml_internal.block_weeks(text, integer) is
    'Whole weeks that a label horizon of so many bars of this timeframe takes, at least one';
