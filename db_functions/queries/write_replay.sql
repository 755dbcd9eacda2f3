select ml_internal.write_replay(%(version)s, %(inference_ms)s::real, %(scores)s) as written
