"""``python -m bench.evidence``: judge the model year by year on every open market, then write ``docs/model.md``.

``--report`` measures nothing and writes the document from the numbers in ``bench/results/model/``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Final

from bench.evidence.results import Run, keep

SIZE: Final = 0.3
SINCE: Final = 2000


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if not options.report:
        run(options.size, options.since)
    from bench.evidence import report  # here, because it loads matplotlib

    report.write()
    return 0


def run(size: float, since: int) -> None:
    """Measure every data set, one a core at a time, and keep the numbers."""
    # Threads of one fit wait for each other on cores that other fits keep busy.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    from bench.evidence.measure import DATA, measure

    began, load = time.monotonic(), os.getloadavg()[0]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(partial(measure, size=size, since=since), DATA))
    keep(found, _run(size, since, round(time.monotonic() - began), load))


def _run(size: float, since: int, took_s: int, load: float) -> Run:
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn"))
    return Run(f"{datetime.now(UTC):%Y-%m-%d}", took_s, size, since, os.cpu_count() or 1, round(load, 1), versions)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.evidence", description=__doc__)
    parser.add_argument("--size", type=float, default=SIZE, help="scale of trees and rounds (default: %(default)s)")
    parser.add_argument("--since", type=int, default=SINCE, help="first year to judge (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="write the document without measuring")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
