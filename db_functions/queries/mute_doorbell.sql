select ml.mute_doorbell(%(milliseconds)s)
