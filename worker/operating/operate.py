"""What operators switch from a shell: enable, disable, promote, rollback, reblend.

Each calls the SQL function of its name, which keeps who, when and why. They need the role ``ml_operator``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from db_functions.database import Connection, connect
from db_functions.progress import Progress
from db_functions.queries import query
from worker.serving.listener import Signals

PAGE = 2_000
_RETRY_S = 0.2
_CONTENTION = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure)


@dataclass(slots=True)
class Reblended:
    """What a dry run of ``ml.reblend`` foresees, or a run has done so far."""

    run: int | None = None
    seen: int = 0
    reblended: int = 0
    changed: int = 0
    to_blend: int = 0
    to_rule: int = 0
    largest_change: float = 0.0
    finished: bool = False

    def add(self, page: Reblended) -> None:
        self.run, self.finished = page.run, page.finished
        self.seen += page.seen
        self.reblended += page.reblended
        self.changed += page.changed
        self.to_blend += page.to_blend
        self.to_rule += page.to_rule
        self.largest_change = max(self.largest_change, page.largest_change)


def reblend(
    connection: Connection,
    signals: Signals,
    parameters: Mapping[str, Any],
    *,
    total: int,
    page: int = PAGE,
    progress: bool = True,
) -> Reblended:
    """Decide stored rows anew, a short transaction a page, until done or told to stop."""
    sums = Reblended(parameters["run"])
    with Progress("reblend", total, enabled=progress) as bar:
        while not sums.finished and not signals.stopping:
            try:
                sums.add(_call(connection, {**parameters, "run": sums.run, "max_rows": page, "dry_run": False}))
            except _CONTENTION:
                # A worker or a backfill has some of these rows in hand, in an order of its own.
                time.sleep(_RETRY_S)
            bar.update(sums.seen)
    return sums


def _call(connection: Connection, parameters: Mapping[str, Any]) -> Reblended:
    row = connection.execute(query("reblend"), parameters).fetchone()
    assert row is not None
    return Reblended(*row)


def add_commands(commands: Any, common: argparse.ArgumentParser, moment: Callable[[str], Any]) -> None:
    """Add the commands to the worker's command line."""
    reason = argparse.ArgumentParser(add_help=False)
    reason.add_argument("--reason", required=True, metavar="TEXT", help="kept in the history, with who and when")

    command = commands.add_parser("enable", parents=[common, reason], help="let ML change the effective confidence")
    command.set_defaults(command=_switch, query="enable", said="ML is enabled from the next row on")
    command = commands.add_parser("disable", parents=[common, reason], help="leave every row its rule confidence")
    command.set_defaults(command=_switch, query="disable", said="ML is disabled from the next row on")

    command = commands.add_parser("promote", parents=[common, reason], help="make a registered model the champion")
    command.add_argument("version", metavar="VERSION")
    command.add_argument("--force", action="store_true", help="although a gate failed; that is recorded")
    command.set_defaults(command=_promote)
    command = commands.add_parser("rollback", parents=[common, reason], help="go back to the champion before")
    command.set_defaults(command=_rollback)

    command = commands.add_parser("reblend", parents=[common], help="decide stored rows anew with the settings of now")
    command.add_argument("--dry-run", action="store_true", help="say what would change, and write nothing")
    command.add_argument("--reason", metavar="TEXT", help="kept in ml.reblends, with who and when; needed to write")
    command.add_argument("--symbol", metavar="S", help="only this symbol")
    command.add_argument("--since", type=moment, metavar="T", help="only rows detected at or after this ISO time")
    command.add_argument("--run", type=int, metavar="RUN", help="go on with this run, which was stopped")
    command.set_defaults(command=_reblend)


def _connected() -> Connection:
    return connect(application_name="pattern-scoring operator", autocommit=True)


def _switch(options: argparse.Namespace) -> int:
    with _connected() as connection:
        connection.execute(query(options.query), {"reason": options.reason})
    print(options.said)
    return 0


def _promote(options: argparse.Namespace) -> int:
    parameters = {"version": options.version, "reason": options.reason, "force": options.force}
    with _connected() as connection:
        connection.execute(query("promote"), parameters)
    print(f"{options.version} is the champion now")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    with _connected() as connection:
        row = connection.execute(query("rollback"), {"reason": options.reason}).fetchone()
    assert row is not None
    print(f"{row[0]} is the champion again")
    return 0


def _reblend(options: argparse.Namespace) -> int:
    parameters = {
        "reason": options.reason,
        "symbol": options.symbol,
        "since": options.since,
        "run": options.run,
        "max_rows": None,
        "dry_run": True,
    }
    signals = Signals()
    with _connected() as connection:
        foreseen = _call(connection, parameters)
        if options.dry_run:
            print(f"{foreseen.reblended:,} of {foreseen.seen:,} scored rows were decided with other settings")
            _print_changes(foreseen, "would change")
            return 0
        with signals.installed():
            done = reblend(connection, signals, parameters, total=foreseen.seen)
    print(f"{done.reblended:,} of {done.seen:,} scored rows decided anew")
    _print_changes(done, "changed")
    if not done.finished:
        print(f"stopped; go on with --run {done.run}")
    return 0


def _print_changes(found: Reblended, verb: str) -> None:
    print(f"{found.changed:,} {verb} their confidence, by {found.largest_change:.3f} at most")
    print(f"  {found.to_blend:>10,}  from rule to blend")
    print(f"  {found.to_rule:>10,}  from blend to rule")
