-- The rows that `picked` numbers, page by page, into the plan of a job. In no order: a page is
-- sorted again when it is worked off.
select coalesce(sum(ml_internal.add_page(%(job)s, g.page::integer,
                                         (g.page / %(slice_pages)s)::integer, g.ids)), 0) as rows
from (select k.n / %(page_rows)s as page, array_agg(k.id) as ids from picked k group by 1) g
