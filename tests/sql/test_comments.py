"""``\\d+`` shows a meaning beside every name."""

from __future__ import annotations

import pytest

from db_functions.database import Connection
from tests.sql_support import IN_SYSTEM

pytestmark = pytest.mark.compat

BORN = "in ('public.pattern_events'::regclass, 'public.price_bars'::regclass)"
COLUMNS = """
    select format('%s.%s', a.attrelid::regclass, a.attname), col_description(a.attrelid, a.attnum)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped and """
RELATIONS = "select c.oid::regclass::text, obj_description(c.oid, 'pg_class') from pg_class c where "
WITH_COMMENT = {
    "columns of public views": COLUMNS + "c.relnamespace = 'ml'::regnamespace and c.relkind = 'v'",
    "settings": COLUMNS + "c.oid = 'ml.settings'::regclass and a.attname not in ('singleton', 'version')",
    "columns of the application's tables": COLUMNS + f"c.oid {BORN}",
    "the application's tables": RELATIONS + f"c.oid {BORN}",
    "tables and views": RELATIONS
    + f"c.relnamespace {IN_SYSTEM} and c.relkind in ('r', 'p', 'v') and not c.relispartition",
    "types": "select t.oid::regtype::text, obj_description(t.oid, 'pg_type') from pg_type t join pg_class c "
    f"on c.oid = t.typrelid where t.typnamespace {IN_SYSTEM} and c.relkind = 'c'",
    "functions": "select p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc') from pg_proc p "
    f"where p.pronamespace {IN_SYSTEM}",
}


def lacking(connection: Connection, kind: str) -> list[str]:
    """What of this kind has no comment, or one of several lines."""
    rows = connection.execute(WITH_COMMENT[kind].encode()).fetchall()
    assert rows
    return [name for name, comment in rows if not comment or not comment.strip() or "\n" in comment]


@pytest.mark.parametrize("kind", WITH_COMMENT)
def test_everything_has_a_comment(transaction: Connection, kind: str) -> None:
    assert lacking(transaction, kind) == []


def test_a_missing_comment_is_noticed(transaction: Connection) -> None:
    transaction.execute(
        "comment on column ml.health.status is null; comment on column ml.settings.enabled is ' ';"
        "comment on column pattern_events.entry is e'two\\nlines'; comment on function ml.enable(text) is null"
    )
    assert lacking(transaction, "columns of public views") == ["ml.health.status"]
    assert lacking(transaction, "settings") == ["ml.settings.enabled"]
    assert lacking(transaction, "columns of the application's tables") == ["pattern_events.entry"]
    assert lacking(transaction, "functions") == ["ml.enable(text)"]
