"""What the database, training and the worker share: the scoring contract, the SQL objects, named queries, model inputs."""
