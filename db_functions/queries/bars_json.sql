select ml_internal.bars_json(%(symbol)s, %(timeframe)s)
