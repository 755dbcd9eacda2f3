"""The fault harness: whatever dies, each row is scored exactly once. ``python -m tests.faults --help``."""
