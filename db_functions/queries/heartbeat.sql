select ml_internal.heartbeat(%(worker)s, %(model_version)s, %(model_error)s, %(batches)s,
                             %(scored)s, %(fallbacks)s, %(failed)s,
                    %(cache_hits)s, %(cache_misses)s, %(stopping)s)
