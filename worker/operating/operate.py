"""What operators change from a shell: enable, disable, promote, rollback, reblend.

Each calls the SQL function of its name, which records who, when and why. They need the role ``ml_operator``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db_functions.advice import blend_line
from db_functions.arguments import moment
from db_functions.database import Connection, connect, show_warnings
from db_functions.errors import CONTENTION
from db_functions.progress import Bar
from db_functions.queries import fetch_row, fetch_value, query
from worker.serving.listener import Signals

PAGE = 2_000
_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Reblended:
    """What a dry run of ``ml.reblend`` foresees, or a run has done so far: its row."""

    run: int | None = None
    seen: int = 0
    reblended: int = 0
    changed: int = 0
    to_blend: int = 0
    to_rule: int = 0
    largest_change: float = 0.0
    finished: bool = False
    refused: int = 0
    """Rows that a trigger or a constraint of the application would not let be written."""

    def plus(self, page: Reblended) -> Reblended:
        """Both together; the run is that of ``page``."""
        return Reblended(
            page.run,
            self.seen + page.seen,
            self.reblended + page.reblended,
            self.changed + page.changed,
            self.to_blend + page.to_blend,
            self.to_rule + page.to_rule,
            max(self.largest_change, page.largest_change),
            page.finished,
            self.refused + page.refused,
        )


def reblend(
    connection: Connection,
    signals: Signals,
    parameters: Mapping[str, Any],
    *,
    total: int,
    page: int = PAGE,
    progress: bool = True,
) -> Reblended:
    """Blend stored rows again with the current settings, a short transaction a page, until done or told to stop."""
    sums = Reblended(parameters["run"])
    with Bar(shown=progress, desc="reblend", total=total, lasting=True) as bar:
        while not sums.finished and not signals.stopping:
            try:
                found = _call(connection, {**parameters, "run": sums.run, "max_rows": page, "dry_run": False})
            except CONTENTION:
                # A worker or a backfill is writing some of these rows, in another order.
                time.sleep(_RETRY_S)
                continue
            sums = sums.plus(found)
            bar.update(found.seen)
    return sums


def _call(connection: Connection, parameters: Mapping[str, Any]) -> Reblended:
    return fetch_row(connection, "reblend", Reblended, parameters)


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands to the worker's command line."""
    reason = argparse.ArgumentParser(add_help=False)
    reason.add_argument("--reason", required=True, metavar="TEXT", help="kept in the history, with who and when")

    command = commands.add_parser("enable", parents=[common, reason], help="let ML change the effective confidence")
    command.set_defaults(command=_switch, query="enable", message="ML is enabled from the next row on")
    command = commands.add_parser("disable", parents=[common, reason], help="leave every row at its rule confidence")
    command.set_defaults(command=_switch, query="disable", message="ML is disabled from the next row on")

    command = commands.add_parser("promote", parents=[common, reason], help="make a registered model the champion")
    command.add_argument("version", metavar="VERSION")
    command.add_argument("--force", action="store_true", help="even if a gate fails; this is recorded")
    command.set_defaults(command=_promote)
    command = commands.add_parser("rollback", parents=[common, reason], help="go back to the previous champion")
    command.set_defaults(command=_rollback)

    command = commands.add_parser("reblend", parents=[common], help="blend stored rows again with the current settings")
    command.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")
    command.add_argument("--reason", metavar="TEXT", help="kept in ml.reblends, with who and when; needed to write")
    command.add_argument("--symbol", metavar="S", help="only this symbol")
    command.add_argument("--since", type=moment, metavar="T", help="only rows detected at or after this ISO time")
    command.add_argument("--run", type=int, metavar="RUN", help="go on with this stopped run")
    command.set_defaults(command=_reblend)


def _connected() -> Connection:
    connection = connect(application_name="pattern-scoring operator", autocommit=True)
    show_warnings(connection)
    return connection


def _switch(options: argparse.Namespace) -> int:
    with _connected() as connection:
        connection.execute(query(options.query), {"reason": options.reason})
    print(options.message)
    return 0


def _promote(options: argparse.Namespace) -> int:
    parameters = {"version": options.version, "reason": options.reason, "force": options.force}
    with _connected() as connection:
        connection.execute(query("promote"), parameters)
        advice = blend_line(connection)
    print(f"{options.version} is the champion now")
    if advice is not None:
        print(advice)
    return 0


def _rollback(options: argparse.Namespace) -> int:
    with _connected() as connection:
        version = fetch_value(connection, "rollback", {"reason": options.reason})
    print(f"{version} is the champion again")
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
            print(f"{foreseen.reblended:,} of {foreseen.seen:,} scored rows were blended with other settings")
            _print_changes(foreseen, "would change")
            return 0
        with signals.installed():
            done = reblend(connection, signals, parameters, total=foreseen.seen)
    print(f"{done.reblended:,} of {done.seen:,} scored rows blended again")
    _print_changes(done, "changed")
    if done.refused:
        print(f"{done.refused:,} refused to be written; ml_internal.refusals says why")
    if not done.finished:
        print(f"stopped; go on with --run {done.run}")
    return 0


def _print_changes(found: Reblended, verb: str) -> None:
    print(f"{found.changed:,} {verb} their confidence, by {found.largest_change:.3f} at most")
    print(f"  {found.to_blend:>10,}  from rule to blend")
    print(f"  {found.to_rule:>10,}  from blend to rule")
