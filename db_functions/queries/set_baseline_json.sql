select jsonb_build_object('version', (select m.version from ml.models m where m.id = b.model_id),
                          'source', b.source,
                          'since', b.since, 'until', b.until, 'rows', b.rows, 'set_at', b.set_at,
                          'set_by', b.set_by)
from ml.set_baseline(%(version)s, %(since)s, %(until)s, %(reason)s) b
