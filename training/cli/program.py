"""``python -m training``: the parser of all commands, and what their failures look like."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import psycopg

from db_functions.errors import ScoringError
from db_functions.pipes import reader_may_leave
from training.cli import check, explain, registry, replay, report, train

GROUPS: Final = (train, check, registry, replay, explain, report)
"""A group's ``add_commands`` declares each command with its options, what runs it, and what an interruption leaves."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success, 1 after an error printed on one line, 130 after an interruption."""
    options = parser().parse_args(arguments)
    code = 0
    try:
        with reader_may_leave():
            code = int(options.run(options))
    except (ScoringError, psycopg.Error) as error:
        message = str(error).strip()
    except OSError as error:
        # A missing folder or a full disk: the system's own words say what to do.
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except KeyboardInterrupt:
        print("interrupted" + options.interrupted, file=sys.stderr)
        return 130
    else:
        return code
    print(f"error: {message}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(prog="python -m training", description="Train, verify, register and promote models.")
    commands = top.add_subparsers(dest="command", required=True)
    for group in GROUPS:
        group.add_commands(commands)
    return top
