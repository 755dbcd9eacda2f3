-- The answers to questions, in their order, of what a model made of each.
select ml_internal.decide_score(g.score)
from jsonb_array_elements(%(scores)s::jsonb) with ordinality g (score, n)
order by g.n
