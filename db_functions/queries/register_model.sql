select ml_internal.register_model(
    %(version)s, %(algorithm)s, %(onnx)s, %(contract_version)s, %(inputs)s, %(outputs)s,
    %(feature_names)s, %(min_bars)s,
    %(metrics)s, %(model_card)s, %(toolchain)s, %(drift_baseline)s, %(golden)s)
