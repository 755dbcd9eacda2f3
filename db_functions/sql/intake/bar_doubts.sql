-- Why a worker may not hear of changed bars. While there is a reason, each batch reads its bars.
create view ml_internal.bar_doubts with (security_invoker = true) as
with root as (
    select c.oid, c.relkind = 'p' as parted from pg_catalog.pg_class c
    where c.oid = to_regclass('public.price_bars')
), watched as (
    select b.oid::regclass::text as relation, r.parted, b.below, c.relkind,
           case when r.parted then array['ml_log_row']
                else array['ml_log_delete', 'ml_log_insert', 'ml_log_row', 'ml_log_update']
                end as wanted,
           c.relrowsecurity and exists (
               select from pg_catalog.pg_policy p
               where p.polrelid = b.oid and not p.polpermissive) as restricted,
           array(select t.tgname::text from pg_catalog.pg_trigger t
                 where t.tgrelid = b.oid and t.tgname like 'ml\_log\_%'
                   and (t.tgenabled = 'A'
                        or (not r.parted
                            and t.tgenabled = case t.tgname when 'ml_log_row' then 'R' else 'O' end)
                       )) as firing
    from ml_internal.bar_tables b join pg_catalog.pg_class c on c.oid = b.oid cross join root r
)
select 'price_bars' as relation, 'is not there' as doubt, 'alembic upgrade head' as remedy
where not exists (select from root)
union all
select w.relation, 'inherits from price_bars and is no partition of it',
       format('alter table %s no inherit price_bars', w.relation)
from watched w where w.below and not w.parted
union all
select w.relation, 'holds rows that change elsewhere',
       format('alter table price_bars detach partition %s', w.relation)
from watched w where w.relkind not in ('r', 'p')
union all
select w.relation, format('trigger %s is missing or off', n.name),
       format('alter table %s enable %strigger %s', w.relation,
              case when w.parted then 'always ' when n.name = 'ml_log_row' then 'replica '
                   else '' end, n.name)
from watched w cross join unnest(w.wanted) n (name)
where w.relkind = 'r' and not (w.below and not w.parted) and n.name <> all (w.firing)
union all
select w.relation, 'a restrictive policy decides what is read', 'drop that policy'
from watched w where w.restricted;
comment on view ml_internal.bar_doubts is
    'Internal: why changes of bars may go unheard, and what to do about it';
