drop function ml.lock_patterns(uuid[]);
