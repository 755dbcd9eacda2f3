-- Everything that schemas public, ml and ml_internal hold, and default privileges: kind, name, and all that is known of
-- it except the order of columns.
with places as (
    select oid, nspname, nspowner, nspacl from pg_namespace where nspname in ('public', 'ml', 'ml_internal')
), relations as (
    select c.*, format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join places n on n.oid = c.relnamespace
    where c.relname not in ('ml_alembic_version', 'ml_alembic_version_pkc') and c.relkind in ('r', 'p', 'v', 'm', 'S')
)
select 'schema', nspname::text, concat_ws(' | ', pg_get_userbyid(nspowner), obj_description(oid, 'pg_namespace'),
    (select string_agg(a::text, ' ' order by a::text) from (select grantee::regrole, privilege_type, is_grantable
        from aclexplode(coalesce(nspacl, acldefault('n', nspowner)))) a))
from places
union all
select 'relation', name, concat_ws(' | ', relkind, pg_get_userbyid(relowner), relpersistence,
    relrowsecurity, relreplident, (select string_agg(o, ' ' order by o) from unnest(reloptions) o),
    pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid),
    obj_description(oid, 'pg_class'), case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
    (select format('%s %s %s %s %s %s', s.seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache)
        from pg_sequence s where s.seqrelid = oid),
    (select string_agg(a::text, ' ' order by a::text) from (select grantee::regrole, privilege_type, is_grantable
        from aclexplode(coalesce(relacl,
            acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)))) a))
from relations
union all
select 'column', r.name || '.' || a.attname, concat_ws(' | ', format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attstorage, a.attcollation::regcollation,
    col_description(r.oid, a.attnum), (select string_agg(x::text, ' ' order by x::text) from (
        select grantee::regrole, privilege_type from aclexplode(a.attacl)) x))
from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
union all
select 'constraint', r.name || ' ' || c.conname, concat_ws(' | ', pg_get_constraintdef(c.oid),
    c.convalidated, c.condeferrable, obj_description(c.oid, 'pg_constraint'))
from relations r join pg_constraint c on c.conrelid = r.oid
union all
select 'index', i.indexrelid::regclass::text, concat_ws(' | ', pg_get_indexdef(i.indexrelid),
    i.indisvalid, x.reloptions::text, obj_description(x.oid, 'pg_class'))
from relations r join pg_index i on i.indrelid = r.oid join pg_class x on x.oid = i.indexrelid
union all
select 'trigger', r.name || ' ' || t.tgname, concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled,
    obj_description(t.oid, 'pg_trigger'))
from relations r join pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
union all
select 'function', p.oid::regprocedure::text, concat_ws(' | ', pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner),
    obj_description(p.oid, 'pg_proc'),
    (select string_agg(a::text, ' ' order by a::text) from (select grantee, privilege_type
        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))) a))
from pg_proc p join places n on n.oid = p.pronamespace where p.prokind in ('f', 'p')
union all
select 'aggregate', p.oid::regprocedure::text, concat_ws(' | ', pg_get_userbyid(p.proowner), p.proparallel, p.provolatile,
    a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggtranstype::regtype, a.agginitval, obj_description(p.oid, 'pg_proc'),
    (select string_agg(a::text, ' ' order by a::text) from (select grantee, privilege_type
        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))) a))
from pg_proc p join places n on n.oid = p.pronamespace join pg_aggregate a on a.aggfnoid = p.oid
union all
select 'composite', t.oid::regtype::text, concat_ws(' | ', pg_get_userbyid(t.typowner), obj_description(c.oid, 'pg_class'),
    (select string_agg(format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and not a.attisdropped))
from pg_type t join places n on n.oid = t.typnamespace join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
union all
select 'default privileges', concat_ws(' ', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype),
    (select string_agg(a::text, ' ' order by a::text) from (select grantee, privilege_type, is_grantable
        from aclexplode(d.defaclacl)) a)
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
union all
select 'type', t.oid::regtype::text, concat_ws(' | ', pg_get_userbyid(t.typowner),
    (select string_agg(e.enumlabel, ' ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
from pg_type t join places n on n.oid = t.typnamespace where t.typtype in ('e', 'd')
union all
select 'policy', r.name || ' ' || p.polname, pg_get_expr(p.polqual, p.polrelid)
from relations r join pg_policy p on p.polrelid = r.oid
