"""``python -m demo``: run the demo, or open its database with psql."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console

from db_functions.errors import ScoringError
from demo.database import DemoError, look
from demo.stages import run


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    # One width for terminals, pipes and logs, so that no table breaks.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 118)
    started = time.monotonic()
    try:
        if options.command == "psql":
            return look()
        run(console, options.rate)
    except (DemoError, ScoringError) as error:
        console.print(f"\n[bold red]The demo stopped:[/] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted.")
        return 130
    console.print(f"\nThe demo took {time.monotonic() - started:.0f} s.")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The main job on real market data.")
    parser.add_argument("command", nargs="?", choices=["run", "psql"], default="run", help="psql: look into the result")
    parser.add_argument("--rate", type=float, default=50.0, help="live patterns a second (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.rate > 0:
        parser.error("--rate must be above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
