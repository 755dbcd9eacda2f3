select m.id, m.version, m.onnx, m.sha256, m.golden from ml.models m where m.version = %(version)s
