select ml.promote(%(version)s, %(reason)s, %(force)s)
