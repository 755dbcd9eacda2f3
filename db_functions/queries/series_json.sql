select ml_internal.series_json()
