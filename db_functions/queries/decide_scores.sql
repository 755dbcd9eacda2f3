-- The answers to questions, in their order, of what a model made of each.
select ml_internal.decide_score(
           s.rule_confidence,
           'epoch'::timestamptz + s.detected_at_us * interval '1 microsecond', s.reason,
           s.ml_confidence, s.probabilities, s.quality, s.bars, s.model_version, s.error) as answer
from rows from (jsonb_to_recordset(%(scores)s::jsonb) as (
         rule_confidence double precision, detected_at_us bigint, reason text, ml_confidence real,
         probabilities real[], quality real, bars integer, model_version text, error text))
     with ordinality s
order by s.ordinality
