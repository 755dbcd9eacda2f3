-- Triggers of the application that fire when the system writes, and what they lack; restrictive
-- policies.
select array(select t.name from ml_internal.foreign_triggers t order by 1) as triggers,
       array(select t.name from ml_internal.foreign_triggers t
             where cardinality(t.lacks) > 0 order by 1) as lacking,
       array(select distinct l from ml_internal.foreign_triggers t, unnest(t.lacks) l
             order by 1) as grants,
       array(select o.polname::text from pg_policy o
             where o.polrelid = 'public.pattern_events'::regclass and not o.polpermissive
             order by 1) as policies
