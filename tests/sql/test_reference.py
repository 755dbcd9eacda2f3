"""``docs/reference.md`` is generated from the definitions, and lacks nothing that the database has."""

from __future__ import annotations

import pytest

from db_functions import ddl, reference
from db_functions.database import Connection

SECTIONS = {
    "settings": "select attname from pg_attribute where attrelid = 'ml.settings'::regclass and attnum > 0 "
    "and not attisdropped and attname not in ('singleton', 'version')",
    "views": "select 'ml.' || relname from pg_class where relnamespace = 'ml'::regnamespace and relkind = 'v'",
    "columns": "select distinct attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
    "where attnum > 0 and c.relnamespace = 'ml'::regnamespace and (c.relkind = 'v' or relname = 'predictions')",
    "added": "select unnest(added) from ml_internal.adoption where relation = 'pattern_events'",
    "functions": "select distinct 'ml.' || proname || '(' from pg_proc where pronamespace = 'ml'::regnamespace",
}


def test_it_is_up_to_date() -> None:
    assert ddl.REFERENCE.read_text() == reference.render(ddl.schema_text()), "run: python -m db_functions.ddl"


@pytest.mark.parametrize("kind", SECTIONS)
def test_nothing_is_lacking(kind: str, transaction: Connection) -> None:
    page = ddl.REFERENCE.read_text()
    begins = {"views": "### {}\n", "functions": "| `{}"}.get(kind, "| `{}` |")
    names = [name for (name,) in transaction.execute(SECTIONS[kind].encode()).fetchall()]
    assert len(names) > 10
    assert [name for name in names if begins.format(name) not in page] == []
