"""Scores patterns: listen, claim, gather, infer, write. Needs onnxruntime, numpy and psycopg, nothing of training."""

__version__ = "0.1.0"
