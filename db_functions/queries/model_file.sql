-- A publisher may record checks too; what a worker need not try again, only workers say.
select m.version, m.onnx, m.sha256, m.golden,
       exists (select from ml.parity_checks p
               where p.model_id = m.id and p.runtime = %(runtime)s and p.passed
                 and not p.by_publisher) as proven
from ml.models m where m.id = %(id)s
