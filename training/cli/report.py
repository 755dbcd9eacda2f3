"""``report``: one model on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.cli.arguments import Commands, add_command, add_period
from training.cli.database import connect
from training.cli.output import require_writable, write_file


def add_commands(commands: Commands) -> None:
    command = add_command(commands, "report", _report, "write a page about a model, from rows it was not trained on")
    command.add_argument("version")
    command.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="(report.html)")
    command.add_argument("--against", metavar="VERSION", help="another model on the same rows")
    add_period(command, "patterns detected")


def _report(options: argparse.Namespace) -> int:
    from training.load import load_dataset
    from training.report import fetch_subject, render, unseen_rows

    require_writable(options.output)
    with connect() as connection:
        subject = fetch_subject(connection, options.version)
        other = fetch_subject(connection, options.against) if options.against else None
        dataset = load_dataset(connection, since=options.since, until=options.until, progress=True)
    rows = unseen_rows(dataset, subject, *([other] if other else []))
    write_file(options.output, render(subject, rows, other).encode())
    print(f"{options.output}: {options.version} on {len(rows):,} rows that it was not trained on")
    return 0
