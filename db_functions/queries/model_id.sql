select m.id from ml.models m where m.version = %(version)s
