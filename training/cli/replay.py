"""``replay``: patterns of the past scored again."""

from __future__ import annotations

import argparse
from statistics import median

from training.cli.arguments import Commands, add_command, add_period, add_quiet
from training.cli.database import connect


def add_commands(commands: Commands) -> None:
    command = add_command(
        commands,
        "replay",
        _replay,
        "score patterns of the past again; rows keep their scores",
        interrupted=": the scores written so far are kept",
    )
    command.add_argument("--model", required=True, metavar="VERSION", help="any registered model")
    add_period(command, "patterns detected", required=True)
    add_quiet(command)


def _replay(options: argparse.Namespace) -> int:
    from training.replay import replay

    with connect() as connection:
        found = replay(connection, options.model, options.since, options.until, progress=not options.quiet)
    print(f"{found.rows} rows scored by {options.model}, {found.skipped} skipped")
    print(f"{len(found.differences)} had a score: {found.same_inputs} with the same inputs as then")
    print(f"{found.repeated} of these were scored by {options.model} then too: {found.identical} identical to the bit")
    if found.differences:
        sizes = [abs(difference) for difference in found.differences]
        print(f"differences: median {median(sizes):.3g}, largest {max(sizes):.3g}")
    print("row by row: ml.replay_differences")
    return 0
