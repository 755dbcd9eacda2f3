-- The rows that `picked` numbers, page by page, into the plan of a job.
select coalesce(sum(ml_internal.add_page(%(job)s, g.page::integer,
                                         (g.page / %(slice_pages)s)::integer, g.ids)), 0) as rows
from (select k.n / %(page_rows)s as page, array_agg(k.id order by k.n) as ids
      from picked k group by 1 order by 1) g
