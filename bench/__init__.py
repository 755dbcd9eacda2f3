"""Measurements: ``python -m bench`` takes them and writes ``docs/benchmarks.md``."""
