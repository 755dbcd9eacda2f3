"""Whether the database knows every statement that a worker runs: asked before the first claim.

A worker of the next release may start before the database is upgraded. It then claims nothing and waits; rows keep
their rule confidence and stay in the queue, or an older worker that still runs scores them.
"""

from __future__ import annotations

import re
from importlib import resources

import psycopg

from db_functions.database import Connection
from db_functions.errors import SchemaMissing, SchemaOutdated
from db_functions.queries import query

STATEMENTS = (
    "apply_environment",
    "backend",
    "bar_changes",
    "bar_doubts",
    "bars",
    "batch_settings",
    "bury_workers",
    "claim",
    "claim_questions",
    "clear_suspect",
    "doorbell_channel",
    "heartbeat",
    "lock_queued",
    "make_partitions",
    "mark_suspect",
    "model_bins",
    "model_file",
    "mute_doorbell",
    "note_task",
    "outcome_days",
    "own_xid",
    "previous_champion",
    "prune",
    "queue_horizon",
    "record_parity_once",
    "review_suspects",
    "ring",
    "server_started",
    "start_worker",
    "surface_settings",
    "surface_trust",
    "unfinished_workers",
    "write_answers",
    "write_batch",
)
"""The named queries of ``python -m worker run``."""

REVISION = (resources.files("db_functions") / "sql" / "revision.txt").read_text(encoding="utf-8").strip()
"""The newest migration of this release; revisions sort as text."""


def require(connection: Connection) -> None:
    """Let the server plan every statement. Raises SchemaOutdated, or SchemaMissing when there is no schema ml."""
    for name in STATEMENTS:
        try:
            connection.execute(_planned(name))
        except psycopg.errors.InvalidSchemaName as error:
            raise SchemaMissing(f"{SchemaMissing.__doc__} ({error.diag.message_primary})") from error
        except (
            psycopg.errors.UndefinedFunction,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.UndefinedTable,
        ) as error:
            raise SchemaOutdated(f"{SchemaOutdated.__doc__} ({error.diag.message_primary})") from error


def functions() -> list[str]:
    """Names of the functions in schema ml that the statements call."""
    return sorted(
        {name for statement in STATEMENTS for name in re.findall(r"\bml(?:_internal)?\.(\w+)\(", query(statement))}
    )


def _planned(name: str) -> bytes:
    """An EXPLAIN, which runs nothing, with null for every parameter, of the query inside a COPY where there is one."""
    text = re.sub(r"%\(\w+\)s", "null", query(name)).replace("%%", "%")
    text = re.sub(r"\A(?:--[^\n]*\n)*copy \((.*)\) to stdout.*\Z", r"\1", text, flags=re.DOTALL)
    return f"explain {text}".encode()
