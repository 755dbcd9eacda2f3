-- An adopted column may hold anything; a value out of range is none, or its row could never be
-- scored. The range is looked at before the cast, which refuses what no double can hold.
create function ml_internal.usable_rule(rule_confidence double precision) returns double precision
language sql immutable parallel safe
return case when rule_confidence >= 0 and rule_confidence <= 1 then rule_confidence end;
comment on function ml_internal.usable_rule(double precision) is
    'A rule confidence from 0 to 1, or null';

create function ml_internal.usable_rule(rule_confidence numeric) returns double precision
language sql immutable parallel safe
return case when rule_confidence >= 0 and rule_confidence <= 1
            then rule_confidence::double precision end;
comment on function ml_internal.usable_rule(numeric) is 'A rule confidence from 0 to 1, or null';
