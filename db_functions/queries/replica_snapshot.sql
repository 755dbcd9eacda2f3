select pg_current_snapshot()::text as snapshot, h.turn from ml_internal.bar_horizon h
