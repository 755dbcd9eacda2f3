select ml.challenge(%(version)s, %(share)s, %(canary)s, %(reason)s)
