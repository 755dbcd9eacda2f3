select ml_internal.helping_json()
