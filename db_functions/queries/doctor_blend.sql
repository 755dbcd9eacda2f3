select s.weights, s.ml_weight, s.rule_weight,
       array(select a.message from ml_internal.alert_performance a
             where a.type = 'served_worse' and a.level is not null order by a.subject) as worse
from ml.settings s
