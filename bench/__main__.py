"""``python -m bench``: take every measurement on a server of its own, then write ``docs/benchmarks.md``.

``--only drain,latency`` takes some sections, ``--scale 0.2`` makes them smaller, ``--repeats 1`` quicker. ``--report``
measures nothing and writes the document from the raw numbers in ``bench/results/``.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
import traceback
from collections.abc import Sequence

from bench.results import SECTIONS, Recorder


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    logging.disable(logging.INFO)
    failed = [] if options.report else measure(options.only, options.scale, options.repeats)
    from bench import report  # here, because it loads matplotlib

    report.write()
    if failed:
        print(f"not measured, see above: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(sections: Sequence[str], scale: float, repeats: int) -> list[str]:
    """Measure each section and save its numbers; returns the sections that failed."""
    from bench.harness import bench

    failed = []
    with bench() as running:
        for section in sections:
            print(f"{section} ({time.strftime('%H:%M:%S')})", flush=True)
            recorder = Recorder(section, scale, repeats)
            try:
                importlib.import_module(f"bench.{section}").measure(running, recorder)
            except Exception:  # noqa: BLE001  # the other sections are worth having all the same
                traceback.print_exc()
                failed.append(section)
            else:
                recorder.save()
    return failed


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_sections, default=SECTIONS, help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="size of every measurement (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is repeated (default 3)")
    parser.add_argument("--report", action="store_true", help="write the document without measuring")
    return parser.parse_args(arguments)


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"no section {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
