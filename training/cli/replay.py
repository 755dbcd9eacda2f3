"""``replay``: patterns of the past scored again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from db_functions.bulk.options import add_engine, how
from db_functions.errors import ScoringError
from db_functions.extras import not_installed
from training.cli.arguments import Commands, add_command, add_period, add_quiet


def add_commands(commands: Commands) -> None:
    command = add_command(
        commands,
        "replay",
        _replay,
        "score patterns of the past again; rows keep their scores",
        interrupted=": the same command goes on",
    )
    command.add_argument("--model", required=True, metavar="VERSION", help="any registered model")
    add_period(command, "patterns detected", required=True)
    command.add_argument(
        "--output", type=Path, metavar="DIR", help="write Parquet files by month there, and nothing to the database"
    )
    add_engine(command)
    add_quiet(command)


def _replay(options: argparse.Namespace) -> int:
    from training.replay import replay

    run = how(options, lambda: False, progress=not options.quiet)
    if options.output is None:
        found, failed = replay(options.model, options.since, options.until, run)
    else:
        try:
            from training.replay_files import replay_to_files
        except ImportError as error:
            raise ScoringError(not_installed(error)) from None
        found, failed = replay_to_files(options.output, options.model, options.since, options.until, run)
    print(f"{found.rows} rows scored by {options.model}, {found.skipped} skipped")
    print(f"{found.compared} had a score: {found.same_inputs} with the same inputs as then")
    print(f"{found.repeated} of these were scored by {options.model} then too: {found.identical} identical to the bit")
    if found.compared:
        mean = found.differences / found.compared
        print(f"differences: mean {mean:.3g}, largest {found.largest_difference:.3g}")
    print("row by row: " + ("ml.replay_differences" if options.output is None else str(options.output)))
    for number, reason in failed.items():
        print(f"error: slice {number} was given up: {reason}", file=sys.stderr)
    return 1 if failed else 0
