select a.type, a.subject from ml.alerts a where a.type = any (%(types)s)
