-- Triggers of the application that fire when the system writes. They run as ml_writer; what a
-- function needs is read from its text, which Postgres does not look into either.
create view ml_internal.foreign_triggers with (security_invoker = true) as
with trigger as (
    select t.tgname::text as name, p.oid as function, p.prosecdef as definer, p.prosrc,
           (t.tgtype & 3) = 3 as edits
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = 'public.pattern_events'::regclass and not t.tgisinternal
      and t.tgenabled <> 'D' and (t.tgtype & 16) <> 0
      and p.pronamespace <> 'ml_internal'::regnamespace
      -- Kept from before, with a condition that leaves the system's writes out.
      and t.tgname <> 'pattern_events_updated_at'
      and (cardinality(t.tgattr::int2[]) = 0
           or exists (select from pg_attribute a
                      where a.attrelid = t.tgrelid and a.attnum = any (t.tgattr::int2[])
                        and has_column_privilege('ml_writer', a.attrelid, a.attnum, 'update')))
), used as (
    -- insert into x, update x, delete from x; from x and join x read.
    select t.name, t.function, w.privilege,
           to_regclass(case when m.word[1] ~ '\.' then m.word[1]
                            else 'public.' || m.word[1] end) as relation
    from trigger t
    cross join (values
        ('insert', '\minsert\s+into\s+'), ('delete', '\mdelete\s+from\s+(?:only\s+)?'),
        ('update', '\mupdate\s+(?!set\M|of\M)(?:only\s+)?'),
        ('select', '(?<!\mdelete\s)\m(?:from|join)\s+(?:only\s+)?')) w (privilege, verb)
    cross join lateral regexp_matches(
        regexp_replace(t.prosrc, '--[^\n]*', ' ', 'g'),
        w.verb || '("?\w+"?(?:\."?\w+"?)?)', 'gi') m (word)
    where not t.definer
), needed as (
    select u.name, format('grant %s on %s to ml_writer', u.privilege, r.relation) as lacking
    from used u
    join lateral (select format('%I.%I', n.nspname, c.relname) as relation
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where c.oid = u.relation and n.nspname not in ('pg_catalog', 'ml', 'ml_internal')
                 ) r on true
    where not has_table_privilege('ml_writer', u.relation, u.privilege)
      and not has_any_column_privilege('ml_writer', u.relation,
                                       case u.privilege when 'delete' then 'select'
                                            else u.privilege end)
    union
    select u.name, format('grant usage on sequence %s to ml_writer', d.objid::regclass)
    from used u
    join pg_depend d on d.refobjid = u.relation and d.classid = 'pg_class'::regclass
        and d.refclassid = 'pg_class'::regclass and d.deptype = 'a'
    join pg_class c on c.oid = d.objid and c.relkind = 'S'
    where u.privilege = 'insert' and not has_sequence_privilege('ml_writer', c.oid, 'usage')
    union
    select u.name, format('grant usage on schema %I to ml_writer', n.nspname)
    from used u
    join pg_class c on c.oid = u.relation
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('ml', 'ml_internal')
      and not has_schema_privilege('ml_writer', n.oid, 'usage')
)
select t.name, t.function::regprocedure::text as function, t.edits,
       array(select distinct n.lacking from needed n where n.name = t.name order by 1) as lacks
from trigger t;
comment on view ml_internal.foreign_triggers is
    'Triggers of the application that fire when the system writes to pattern_events, whether they '
    'may edit what it writes, and the rights that they lack';
