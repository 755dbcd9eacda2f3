-- Takes a connection in autocommit mode, outside a transaction block.
call ml.ask_and_wait(%(kind)s, %(question)s::jsonb, null, make_interval(secs => %(seconds)s))
