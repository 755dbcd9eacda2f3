-- A job, what of it is done, and what came of that, summed up by name.
select j.id::text as id, j.models, j.bits, j.started_at,
       (select count(*) from ml_internal.pages p where p.job = j.id and p.done_at is null) as open,
       coalesce((select sum(p.rows) from ml_internal.pages p
                 where p.job = j.id), 0)::bigint as rows,
       coalesce((select sum(p.rows) from ml_internal.pages p
                 where p.job = j.id and p.done_at is not null), 0)::bigint as done,
       coalesce((select jsonb_object_agg(f.name, f.total)
                 from (select e.key as name,
                              case when starts_with(e.key, 'largest')
                                   then max(e.value::float8) else sum(e.value::float8) end as total
                       from ml_internal.pages p cross join jsonb_each_text(p.found) e
                       where p.job = j.id group by e.key) f), '{}') as found
from ml_internal.jobs j where j.id = %(job)s
