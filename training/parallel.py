"""Where folds and candidates are fitted: here one by one, in processes of this machine, or on a Dask cluster.

Each is fitted by one process from the same arrays, so the result does not depend on where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import joblib

from db_functions.bulk.engines import dask


@contextmanager
def fitting_on(engine: str, processes: int, scheduler: str | None) -> Iterator[None]:
    """What ``joblib`` uses for as long as this lasts. Raises EngineUnavailable where no scheduler answers."""
    with ExitStack() as stack:
        if engine == "process":
            stack.enter_context(joblib.parallel_config("loky", n_jobs=processes))
        elif engine == "dask":
            client = dask(scheduler, processes)(stack).client
            stack.enter_context(joblib.parallel_config("dask", client=client, n_jobs=-1))
        yield
