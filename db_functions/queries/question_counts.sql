-- Patterns that were asked about since the beginning.
select c.kind, c.reason, c.patterns from ml_internal.question_counts c order by c.kind, c.reason
