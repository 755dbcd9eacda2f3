"""``python -m tests.faults``: one scenario on a server of its own, as long as wanted; exit 1 when a count is off."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from tests.conftest import upgrade
from tests.faults.harness import SCENARIOS, Plan, Report, run
from tests.faults.storm import Storm
from tests.servers import available, running


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scenario", choices=[*SCENARIOS, "storm", "all"], default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=20_000, help="rows to insert (default 20000)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long the load and the faults last (default 60)"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--server", choices=available(), default="embedded")
    parser.add_argument("--log", action="store_true", help="print what the workers wrote")
    options = parser.parse_args(arguments)
    plan = Plan("", options.seed, options.rows, options.seconds, options.workers, options.writers)
    scenarios = (*SCENARIOS, "storm") if options.scenario == "all" else (options.scenario,)
    red = 0
    with running(options.server) as server:
        for scenario in scenarios:
            name = f"faults_{scenario}"
            with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
                connection.execute(f"create database {name}")
            upgrade(server.url(name))
            report = run(replace(plan, scenario=scenario), server, name, Storm() if scenario == "storm" else None)
            show(report, options.server)
            red += bool(report.wrong)
            if options.log or report.wrong:
                sys.stderr.write(report.log)
    return min(red, 1)


def show(report: Report, server: str) -> None:
    """A table for people."""
    plan = report.plan
    print(f"{plan.scenario}: seed {plan.seed}, {plan.workers} workers, {plan.writers} writers, {server}", flush=True)
    for name, value in [*report.faults.items(), *report.counts.items()]:
        print(f"  {name:<34} {value:>10,}")
    for name, milliseconds in report.latency_ms.items():
        print(f"  {'latency ' + name:<34} {milliseconds:>10,.1f} ms")
    print(f"  {'load':<34} {report.loaded_s:>10,.1f} s")
    print(f"  {'drained after':<34} {report.drained_s:>10,.1f} s")
    print(f"  {'every count is right' if not report.wrong else 'WRONG: ' + '; '.join(report.wrong)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
