select s.weights, s.ml_weight, s.rule_weight,
       array(select format('what applications read is worse than %s by %s of Brier score on %s '
                           'labelled rows, at most %s by chance', d.than,
                           round(d.difference::numeric, 4), d.n, round(d.error::numeric, 4))
             from ml_internal.served_differences d
             where d.n >= s.label_min_rows and d.blocks >= 5 and d.difference > d.error
             order by d.baseline) as worse
from ml.settings s
