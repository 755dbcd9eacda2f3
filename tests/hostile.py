"""Defaults of a database under which nothing of ours would work if it relied on them."""

from __future__ import annotations

from psycopg import sql

from db_functions.database import Connection

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "search_path": "evil, pg_catalog",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "error",
    "row_security": "off",
    "statement_timeout": "500ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "300ms",
    "idle_session_timeout": "300ms",
    "jit_above_cost": "0",
    "enable_indexscan": "off",
    "enable_nestloop": "off",
    "plan_cache_mode": "force_custom_plan",
}
_SHADOWS = """
create schema if not exists evil;
create or replace function evil.clock_timestamp() returns timestamptz language sql
    as $$ select timestamptz '1999-01-01' $$;
create or replace function evil.format(text) returns text language sql as $$ select 'evil' $$;
create or replace function evil.pg_notify(text, text) returns void language sql as $$ select $$;
create or replace function evil.floor(numeric) returns numeric language sql as $$ select 0::numeric $$;
create or replace function evil.pg_backend_pid() returns integer language sql as $$ select 0 $$;
"""


def set_hostile_defaults(connection: Connection) -> None:
    """For every session of this database from now on."""
    connection.execute(_SHADOWS.encode())
    for name, value in HOSTILE.items():
        shown = sql.SQL(value) if name == "search_path" else sql.Literal(value)
        statement = sql.SQL("alter database {} set {} = {}")
        connection.execute(statement.format(sql.Identifier(connection.info.dbname), sql.SQL(name), shown))
