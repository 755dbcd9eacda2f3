select m.onnx from ml.models m where m.version = %(version)s
