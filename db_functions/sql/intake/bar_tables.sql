-- Where bars lie: price_bars, its partitions, and whatever else inherits from it. `mark` differs
-- when one was attached, detached, truncated or rewritten, or when its triggers or policies were
-- changed, even if they are again what they were: what was read before may be wrong by now.
create view ml_internal.bar_tables with (security_invoker = true) as
with recursive member as (
    select to_regclass('public.price_bars')::oid as oid, null::text as attached
    union all
    select i.inhrelid, concat(i.xmin, i.inhdetachpending)
    from member m join pg_catalog.pg_inherits i on i.inhparent = m.oid
)
select m.oid, m.attached is not null as below,
       concat_ws(':', m.oid, c.relfilenode, m.attached, c.relrowsecurity, (
           select string_agg(concat_ws('.', t.oid, t.xmin, t.tgenabled), ',')
           from pg_catalog.pg_trigger t where t.tgrelid = m.oid), (
           select string_agg(concat_ws('.', p.oid, p.xmin), ',')
           from pg_catalog.pg_policy p where p.polrelid = m.oid)) as mark
from member m join pg_catalog.pg_class c on c.oid = m.oid;
comment on view ml_internal.bar_tables is
    'Internal: where bars lie, and a mark of what their triggers do not tell';
