select ml_internal.mute_doorbell(%(milliseconds)s)
