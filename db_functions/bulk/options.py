"""The options of every bulk command: which engine, how many processes, a replica to read from."""

from __future__ import annotations

import argparse
import os
import re

from db_functions.arguments import positive
from db_functions.bulk.driver import How
from db_functions.bulk.engines import Engine, dask, in_process, local_processes
from db_functions.bulk.replica import VARIABLE
from db_functions.bulk.sessions import Stopping
from db_functions.errors import EngineUnavailable

_ADDRESS = re.compile(r"(tcp|tls)://[^/@\s]+:\d+")


def add_engine(command: argparse.ArgumentParser, *, replica: bool = True) -> None:
    command.add_argument(
        "--engine",
        choices=("none", "process", "dask"),
        default="none",
        help="where slices run: in this process (the default), in processes of this machine, or on a Dask cluster",
    )
    command.add_argument("--processes", type=positive, default=2, metavar="N", help="of this machine (default 2)")
    command.add_argument(
        "--scheduler", metavar="tcp://HOST:PORT", help="of the Dask cluster; without it one is started here"
    )
    if replica:
        command.add_argument(
            "--read-from",
            metavar="URL",
            help=f"read bars from this replica; workers of a cluster take its URL from their own {VARIABLE}",
        )


def how(options: argparse.Namespace, stopping: Stopping, *, progress: bool) -> How:
    """What was asked for. Raises EngineUnavailable for an address that is none.

    The URL of a replica travels by the environment: tasks and logs never hold it.
    """
    if options.read_from:
        os.environ[VARIABLE] = options.read_from
    return How(engine_of(options), bool(options.read_from), stopping, progress)


def engine_of(options: argparse.Namespace) -> Engine:
    """The engine that was asked for. Raises EngineUnavailable for an address that is none."""
    if options.scheduler and not _ADDRESS.fullmatch(options.scheduler):
        raise EngineUnavailable(f"{options.scheduler} is no address of a scheduler, such as tcp://127.0.0.1:8786")
    if options.engine == "dask":
        return dask(options.scheduler, options.processes)
    return local_processes(options.processes) if options.engine == "process" else in_process
