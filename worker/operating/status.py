"""``python -m worker status``: what runs, serves and waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from db_functions.database import Connection
from db_functions.queries import fetch_row


class LiveWorker(TypedDict):
    """A process that was seen lately, as the query ``status`` describes it."""

    id: int
    kind: str
    host: str
    pid: int
    model: str | None
    error: str | None
    seen_s: float
    scored: int
    fallbacks: int
    failed: int


@dataclass(frozen=True, slots=True)
class Status:
    """The row of ``status``."""

    enabled: bool
    threshold: float
    benchmark_symbol: str | None
    champion: str | None
    depth: int
    oldest_age_ms: float | None
    dead_letters: int
    workers: list[LiveWorker] | None
    """Workers and backfills that are alive; None when there are none."""


def read_status(connection: Connection) -> Status:
    """The state of scoring now."""
    return fetch_row(connection, "status", Status)


def print_status(status: Status) -> None:
    """Print it for a person."""
    enabled = "enabled" if status.enabled else "disabled"
    oldest = f", the oldest for {status.oldest_age_ms / 1000:,.1f} s" if status.oldest_age_ms is not None else ""
    workers = status.workers or []
    print(f"ML         {enabled}, threshold {status.threshold:g}, benchmark {status.benchmark_symbol or 'none'}")
    print(f"champion   {status.champion or 'none: every row keeps its rule confidence'}")
    print(f"queue      {status.depth:,} waiting{oldest}")
    print(f"failures   {status.dead_letters:,} dead letters")
    print(f"workers    {len(workers)} alive")
    for worker in workers:
        where = f"{worker['kind']} {worker['id']} on {worker['host']} (pid {worker['pid']})"
        print(f"  {where}, seen {worker['seen_s']:g} s ago")
        print(
            f"    {worker['model'] or 'no model'}, {worker['scored']:,} scored, {worker['fallbacks']:,} fallbacks, "
            f"{worker['failed']:,} failed" + (f"; {worker['error']}" if worker["error"] else "")
        )
