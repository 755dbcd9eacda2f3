select p.page from ml_internal.pages p
where p.job = %(job)s and p.slice = %(slice)s and p.done_at is null
order by p.page
