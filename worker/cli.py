"""The command line: ``python -m worker run | score | backfill | label | first-passage | status | doctor``, and more.

What only one command needs is imported there: a worker is to start soon.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import psycopg

from db_functions.arguments import moment, not_negative, port, positive, seconds, version
from db_functions.bulk.options import add_engine, how
from db_functions.children import dismiss_trial
from db_functions.database import connect, database_url, show_warnings
from db_functions.errors import ScoringError, first_line, translated
from db_functions.extras import not_installed
from db_functions.pipes import reader_may_leave
from db_functions.queries import fetch_value
from db_functions.sandbox import limit_memory
from worker.log import configure, event
from worker.operating import operate
from worker.serving.listener import Signals
from worker.serving.loop import Options, run
from worker.serving.supervisor import supervise

if TYPE_CHECKING:
    from worker.operating.finding import Finding

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 an error that the last line on stderr explains, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    # The report of doctor says which model was loaded; no log line repeats it.
    configure(verbose=options.verbose, quiet=options.command is _doctor)
    code = 0
    try:
        with translated(), reader_may_leave():
            code = int(options.command(options))
    except (ScoringError, psycopg.Error) as error:
        said = str(error).strip()
        if options.command is _run and isinstance(error, psycopg.errors.InsufficientPrivilege):
            said = f"{first_line(error)}; `python -m worker doctor` says which GRANT is missing"
        if options.command in (_run, _http) and not sys.stderr.isatty():
            # The lines of a service are collected: the last one looks like the others.
            logger.error("%(error)s", event("ended_with_error", error=said))  # noqa: TRY400
        else:
            print(f"worker: {said}", file=sys.stderr)
        return 1
    return code


def _run(options: argparse.Namespace) -> int:
    signals = Signals()
    with signals.installed():
        if options.processes > 1:
            dismiss_trial()  # each process has its own
            arguments = ["--poll-interval", str(options.poll_interval), "--max-memory", str(options.max_memory)]
            arguments += ["--answer-timeout", str(options.answer_timeout)]
            arguments += ["--verbose"] if options.verbose else []
            arguments += [] if options.warm else ["--no-warm"]
            return supervise(options.processes, arguments, signals, dict(os.environ))
        limit_memory()
        too_heavy = run(
            Options(
                options.poll_interval,
                max_resident_bytes=options.max_memory * 2**20,
                answer_timeout_s=options.answer_timeout,
                warm=options.warm,
            ),
            signals,
        )
    if too_heavy:
        # Within the same process, so that a supervisor notices nothing.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own program
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from worker.operating import doctor

    def say(name: str, finding: Finding) -> None:
        print(
            f"{finding.outcome:<5} {name:<16} {finding.text}" + (f" -> {finding.remedy}" if finding.remedy else ""),
            flush=True,
        )

    with connect(application_name="pattern-scoring doctor", autocommit=True) as connection:
        return 0 if doctor.examine(connection, say, live=options.live) else 1


def _http(options: argparse.Namespace) -> int:
    try:
        from worker.http.app import serve
    except ModuleNotFoundError as error:
        raise ScoringError(not_installed(error)) from None
    try:
        serve(database_url(), options.host, options.port)
    except OSError as error:
        raise ScoringError(f"cannot listen on {options.host} port {options.port}: {error.strerror}") from error
    return 0


def _backfill(options: argparse.Namespace) -> int:
    from worker.operating.backfill import Selection, backfill, preview

    selection = Selection(options.limit, options.symbol, options.since, options.rescore)
    if options.dry_run:
        with connect(application_name="pattern-scoring backfill", autocommit=True) as connection:
            found = preview(connection, selection)
        print(f"{found.rows:,} rows would be scored with {found.champion or 'no champion: all would fall back'}")
        for reason, count in found.reasons.items():
            print(f"  {count:>10,}  {reason}")
        if not found.enabled:
            print("ML is disabled: rows would be scored, but keep their rule confidence")
        return 0
    signals = Signals()
    with signals.installed():
        done = backfill(selection, how(options, lambda: signals.stopping, progress=True))
    print(f"{done.rows:,} rows done" + (f", and {done.live:,} that waited in the queue" if done.live else ""))
    if done.resumed:
        print(f"{done.resumed:,} of them by an earlier run")
    if done.left:
        print(f"{done.left:,} of them keep the score they had: they would only fall back now")
    if signals.stopping:
        print("stopped; the same command goes on")
    for number, reason in done.failed.items():
        print(f"worker: slice {number} was given up: {reason}", file=sys.stderr)
    return 1 if done.failed else 0


def _label(options: argparse.Namespace) -> int:
    with connect(application_name="pattern-scoring label", autocommit=True) as connection:
        labelled = fetch_value(connection, "label_outcomes", {"max_rows": options.limit or None})
    print(f"{labelled:,} outcomes labelled")
    return 0


def _first_passage(options: argparse.Namespace) -> int:
    from worker.operating import first_passage

    with connect(application_name="pattern-scoring first-passage", autocommit=True) as connection:
        show_warnings(connection)
        version = first_passage.register(connection)
        print(f"registered {version}: it needs no labels")
        if options.promote:
            first_passage.promote(connection, version)
            print(f"promoted {version}: it is the champion now")
    return 0


def _score(options: argparse.Namespace) -> int:
    from worker.operating.ask import answer_lines

    refused = 0
    with (
        _opened(options.json) as lines,
        connect(application_name="pattern-scoring score", autocommit=True) as connection,
    ):
        for answer in answer_lines(connection, lines, options.model):
            refused += "confidence" not in answer
            print(json.dumps(answer, ensure_ascii=False))
    if refused:
        print(f"worker: {refused:,} lines hold no pattern; their answers say why", file=sys.stderr)
    return 1 if refused else 0


def _opened(name: str) -> AbstractContextManager[TextIO]:
    if name == "-":
        return nullcontext(sys.stdin)
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise ScoringError(f"{name}: {error.strerror}") from error


def _status(_options: argparse.Namespace) -> int:
    from worker.operating.status import print_status, read_status

    with connect(application_name="pattern-scoring status", autocommit=True) as connection:
        print_status(read_status(connection))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="Scores patterns in the database that DATABASE_URL names (an embedded one when it is not set).",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", action="store_true", help="log each step")
    _add_run(commands, common)
    _add_backfill(commands, common)

    command = commands.add_parser("label", parents=[common], help="label patterns whose horizon is complete")
    command.add_argument("--limit", type=not_negative, default=0, metavar="N", help="at most N rows (default 0: all)")
    command.set_defaults(command=_label)

    command = commands.add_parser(
        "first-passage", parents=[common], help="register the model that comes with the package and needs no labels"
    )
    command.add_argument("--promote", action="store_true", help="make it the champion at once")
    command.set_defaults(command=_first_passage)

    command = commands.add_parser("score", parents=[common], help="score patterns in JSON lines; nothing is written")
    command.add_argument("--json", default="-", metavar="FILE", help="a pattern a line (default -: stdin)")
    command.add_argument("--model", type=version, metavar="VERSION", help="by this model instead of the champion")
    command.set_defaults(command=_score)

    command = commands.add_parser("status", parents=[common], help="show what runs, serves and waits")
    command.set_defaults(command=_status)

    command = commands.add_parser("doctor", parents=[common], help="check a deployment, and say what to do")
    command.add_argument(
        "--live", action="store_true", help="commit the smoke row, for a worker to score; then delete it"
    )
    command.set_defaults(command=_doctor)

    command = commands.add_parser("http", parents=[common], help="serve health, metrics, alerts and the status page")
    command.add_argument("--host", default="127.0.0.1", metavar="HOST", help="listen here (default 127.0.0.1)")
    command.add_argument("--port", type=port, default=8000, metavar="PORT", help="(default 8000; 0: any)")
    command.set_defaults(command=_http)

    operate.add_commands(commands, common)
    return parser


def _add_run(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("run", parents=[common], help="score new rows until stopped")
    command.add_argument("--processes", type=positive, default=1, metavar="N", help="worker processes (default 1)")
    command.add_argument(
        "--poll-interval",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="look at the queue at least this often (default 1)",
    )
    command.add_argument(
        "--answer-timeout",
        type=seconds,
        default=75.0,
        metavar="SECONDS",
        help="reconnect when the server does not answer for so long (default 75)",
    )
    command.add_argument(
        "--max-memory",
        type=positive,
        default=2048,
        metavar="MB",
        help="start a fresh process when this one is larger (default 2048)",
    )
    command.add_argument(
        "--no-warm",
        dest="warm",
        action="store_false",
        help="do not run the model between rows that come one after the other (saves processor time, and rows "
        "wait longer)",
    )
    command.set_defaults(command=_run)


def _add_backfill(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("backfill", parents=[common], help="score rows that have no score yet")
    command.add_argument("--dry-run", action="store_true", help="count, and write nothing")
    command.add_argument("--limit", type=not_negative, default=0, metavar="N", help="at most N rows (default 0: all)")
    command.add_argument("--symbol", metavar="S", help="only this symbol")
    command.add_argument("--since", type=moment, metavar="T", help="only rows detected at or after this ISO time")
    command.add_argument("--rescore", action="store_true", help="also rows that have a score")
    add_engine(command)
    command.set_defaults(command=_backfill)
