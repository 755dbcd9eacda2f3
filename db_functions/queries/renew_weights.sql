select ml_internal.renew_weights()
