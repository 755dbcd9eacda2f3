select m.version, m.onnx, m.sha256, m.golden from ml.models m where m.id = %(id)s
