"""Scores patterns: listen, claim, gather, infer, write. Pulls in onnxruntime, numpy and psycopg, and nothing of training."""

__version__ = "0.1.0"
