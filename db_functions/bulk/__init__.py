"""Bulk work over patterns of the past, in one process or on a cluster: slices, engines, and the ledger."""
