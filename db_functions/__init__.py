"""What the database, training and the worker share: contract, SQL objects, named queries, model inputs."""
