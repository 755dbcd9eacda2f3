-- Why changes of bars may go unheard; no row when none does.
select d.relation, d.doubt, d.remedy from ml_internal.bar_doubts d order by 1, 2
