create view ml_internal.fresh_skill with (security_invoker = true) as
with stale as (
    select distinct s.model_id, s.day / c.block_days as block, c.block_days
    from ml_internal.stale_skill s cross join ml_internal.skill_clock c
)
select s.* from ml_internal.skill_sums s
where (s.model_id, s.block) not in (select stale.model_id, stale.block from stale)
union all
select f.model_id, f.block, d.*
from stale f
cross join lateral ml_internal.sum_skill(f.model_id, f.block, f.block_days) d;
comment on view ml_internal.fresh_skill is
    'Internal: ml_internal.skill_sums, with blocks that have changed since summed again';
