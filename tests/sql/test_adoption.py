"""Adoption in place: what the upgrade does to databases of the earlier system, and what the downgrade gives back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import psycopg
import pytest
from alembic.util import CommandError
from pytest_postgresql.janitor import DatabaseJanitor

from db_functions.bulk.driver import How
from db_functions.database import Connection
from tests.conftest import ROOT, downgrade, upgrade
from tests.older import OLD_CLIENT, ROWS, VARIANTS, build, catalogue, columns, contents, differences, shape
from tests.servers import Server
from tests.sql_support import write_scores
from tests.support import at, insert_bars, make_champion, row_of, wait_until
from worker.operating.backfill import Selection, backfill

pytestmark = pytest.mark.compat

BAR_COLUMNS = (
    "symbol text, timeframe text, ts timestamptz, open float8, high float8, low float8, close float8, volume float8"
)

MakeDatabase = Callable[[str | None], str]


def _open(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True)


@contextmanager
def _built(server: Server, name: str, variant: str) -> Iterator[str]:
    janitor = DatabaseJanitor(user=server.user, host=server.host, port=server.port, dbname=name)
    with janitor:
        with _open(server.url(name)) as connection:
            build(connection, variant)
        yield name


@pytest.fixture(scope="session", params=VARIANTS)
def older_template(request: pytest.FixtureRequest, server: Server) -> Iterator[str]:
    with _built(server, f"older_{request.param}_{server.name}", request.param) as name:
        yield name


@pytest.fixture
def older(make_database: MakeDatabase, older_template: str) -> str:
    """A database of the earlier system, one of its three forms."""
    return make_database(older_template)


@pytest.fixture(scope="session")
def plain_template(server: Server) -> Iterator[str]:
    with _built(server, f"plain_{server.name}", "base") as name:
        yield name


@pytest.fixture
def plain(make_database: MakeDatabase, plain_template: str) -> str:
    """A database of the earlier system in its first form, for what does not depend on the form."""
    return make_database(plain_template)


def _value(connection: Connection, sql: str) -> object:
    row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


def _but_rule_confidence(of: dict[str, list[str]]) -> dict[str, list[str]]:
    """Where an earlier script made that column, its gaps are filled; a test of its own says with what."""
    return {table: [name for name in names if name != "rule_confidence"] for table, names in of.items()}


def _backfill(connection: Connection, selection: Selection) -> int:
    with mock.patch.dict(os.environ, DATABASE_URL=connection.info.dsn):
        return backfill(selection, How()).rows


def _score_everything(connection: Connection) -> None:
    make_champion(connection, "small-1")
    for symbol in ("OLD1", "OLD2"):
        insert_bars(connection, symbol=symbol, timeframe="1d")
        insert_bars(connection, symbol=symbol, timeframe="1h")
    assert _backfill(connection, Selection()) == _value(connection, "select count(*) from pattern_events")


def test_upgrade_changes_no_old_value_and_fires_no_trigger(older: str) -> None:
    with _open(older) as connection:
        connection.execute(
            "create table fired (id uuid);"
            "create function note() returns trigger language plpgsql as "
            "'begin insert into public.fired values (new.id); return new; end';"
            "create trigger z_note before insert or update on pattern_events for each row execute function note()"
        )
        before = _but_rule_confidence(shape(connection, "public"))
        rows = contents(connection, before)
    upgrade(older)
    with _open(older) as connection:
        assert contents(connection, before) == rows
        connection.execute("update pattern_events set operator_id = 'me' where id = md5('pattern 1')::uuid")
        assert _value(connection, "select count(*) from fired") == 1, "a trigger of the user's own works again"
        assert contents(connection, before) != rows


def test_upgrade_fills_what_a_score_needs(older: str) -> None:
    with _open(older) as connection:
        connection.execute("create table before_upgrade as select *, to_jsonb(p) as had from pattern_events p")
    upgrade(older)
    with _open(older) as connection:
        wrong = connection.execute("""
            select p.id, p.detected_at, b.created_at, b.updated_at, p.rule_confidence, b.confidence, p.direction
            from pattern_events p join before_upgrade b using (id)
            where (p.detected_at is distinct from coalesce(nullif(b.created_at, '-infinity'), b.updated_at)
                   and not (nullif(b.created_at, '-infinity') is null and b.updated_at is null
                            and p.detected_at between now() - interval '5 minutes' and now()))
               or p.rule_confidence::text is distinct from coalesce(b.had ->> 'rule_confidence', b.confidence::text)
               or p.direction is null
               or p.direction <> case
                    when p.target in ('NaN', 'Infinity', '-Infinity') or p.entry in ('NaN', 'Infinity', '-Infinity')
                         or p.target is null or p.entry is null
                    then case p.verdict when 'bullish' then 1 when 'bearish' then -1 else 0 end
                    when p.target > p.entry then 1 else -1 end
            """).fetchall()
        assert wrong == []
        seen = connection.execute("select direction, count(*) from pattern_events group by 1 order by 1").fetchall()
        assert [direction for direction, _ in seen] == [-1, 0, 1]


def test_a_score_leaves_updated_at_alone_and_every_row_is_scored_or_says_why(older: str) -> None:
    upgrade(older)
    with _open(older) as connection:
        stamps = {"public.pattern_events": ["id", "updated_at", "completed_at", "status", "detected_at", "direction"]}
        stamps |= {table: names for table, names in shape(connection, "public").items() if "history" in table}
        before = contents(connection, stamps)
        _score_everything(connection)
        assert contents(connection, stamps) == before
        reasons: dict[str, int] = dict(
            connection.execute(
                "select ml_metadata ->> 'reason', count(*) from pattern_events group by 1 order by 1"
            ).fetchall()
        )
        assert sum(reasons.values()) == ROWS
        assert reasons.keys() <= {"scored", "below_threshold", "insufficient_bars"}
        scored = _value(connection, "select count(*) from pattern_events where scored_at is not null")
        assert scored == ROWS - reasons["insufficient_bars"]
        assert scored
        assert scored == _value(connection, "select count(*) from ml.predictions")
        connection.execute("update pattern_events set operator_id = 'me' where id = md5('pattern 1')::uuid")
        assert contents(connection, stamps) != before, "a client's write still stamps"


def _worker(url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env={**os.environ, "DATABASE_URL": url}, cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def test_dry_run_counts_and_writes_nothing(plain: str) -> None:
    upgrade(plain)
    with _open(plain) as connection:
        make_champion(connection, "small-1")
        everything = shape(connection, "public", "ml")
        before = contents(connection, everything)
        printed = _worker(plain, "backfill", "--dry-run")
        assert re.search(r"1,000 .* small-1", printed)
        assert re.search(r"1,000 +pending", printed)
        assert contents(connection, everything) == before
        assert "10 rows" in _worker(plain, "backfill", "--limit", "10")
        assert contents(connection, everything) != before


def _insert_as_old_client(connection: Connection) -> str:
    row = connection.execute(
        "insert into pattern_events (symbol, timeframe, pattern_type, confidence) values ('OLD1', '1d', 'flag', 0.6) "
        "returning id::text"
    ).fetchone()
    assert row is not None
    return str(row[0])


def _finish_as_old_client(connection: Connection, pattern: str) -> None:
    connection.execute("update pattern_events set status = 'completed' where id = %s", [pattern])
    row = row_of(connection, pattern, "confidence", "status", "completed_at = updated_at as stamped")
    assert row == {"confidence": 0.6, "status": "completed", "stamped": True}
    logged = connection.execute(
        "select new_status::text from pattern_lifecycle_history where pattern_id = %s", [pattern]
    )
    assert logged.fetchall() == [("completed",)]


@pytest.mark.parametrize("role", ["owner", OLD_CLIENT])
def test_an_old_client_works_before_and_after(older: str, role: str) -> None:
    with _open(older) as connection:
        if role != "owner":
            connection.execute(f"set session authorization {role}")
        _finish_as_old_client(connection, _insert_as_old_client(connection))
        pending = _insert_as_old_client(connection)
    upgrade(older)
    with _open(older) as connection:
        if role != "owner":
            connection.execute(f"set session authorization {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select * from ml.settings")
        _finish_as_old_client(connection, pending)
        fresh = _insert_as_old_client(connection)
        assert row_of(connection, fresh, "rule_confidence::float8", "direction") == {
            "rule_confidence": 0.6,
            "direction": 0,
        }
        _finish_as_old_client(connection, fresh)
        connection.execute("update pattern_events set confidence = 0.9 where id = %s", [fresh])
        assert row_of(connection, fresh, "confidence", "rule_confidence::float8") == {
            "confidence": 0.9,
            "rule_confidence": 0.9,
        }
        connection.execute("select * from get_active_patterns('OLD1')")
        connection.execute("select * from get_pattern_success_stats()")
        if role == "owner":
            assert connection.execute("select expire_old_patterns(1)").fetchone() != (0,)
    with _open(older) as connection:
        waiting = connection.execute("select pattern_id::text from ml.queue").fetchall()
        assert waiting == [(fresh,)]


def test_the_status_log_has_the_three_confidences(older: str, older_template: str) -> None:
    upgrade(older)
    with _open(older) as connection:
        make_champion(connection, "small-1")
        insert_bars(connection, symbol="OLD1")
        connection.execute("select ml.set('threshold', 0, 'test')")
        pattern = connection.execute(
            "insert into pattern_events (symbol, timeframe, pattern_type, confidence, detected_at) "
            "values ('OLD1', '1d', 'flag', 0.6, %s) returning id",
            [at(150)],
        ).fetchone()
        assert pattern is not None
        _backfill(connection, Selection(symbol="OLD1"))
        connection.execute("update pattern_events set status = 'confirmed' where id = %s", pattern)
        place = "t" if "_a_" in older_template else "t.metadata"
        logged = connection.execute(
            f"select to_jsonb({place}) from pattern_lifecycle_history t where pattern_id = %s", pattern
        ).fetchone()
        row = row_of(
            connection, pattern[0], "rule_confidence::float8", "ml_confidence::float8", "blended_confidence::float8"
        )
        assert logged is not None
        assert {name: logged[0][name] for name in row} == row
        assert None not in row.values()


def test_downgrade_gives_everything_back(older: str) -> None:
    with _open(older) as connection:
        connection.execute(
            "alter table pattern_events set (fillfactor = 80, autovacuum_enabled = false);"
            "alter table pattern_events disable trigger pattern_lifecycle_transition;"
            "alter table pattern_events enable always trigger pattern_events_updated_at"
        )
        of = shape(connection, "public")
        rows, objects = contents(connection, of), catalogue(connection)
    upgrade(older)
    with _open(older) as connection:
        connection.execute("select ml.set('threshold', 0, 'test')")
        _score_everything(connection)
        assert _value(connection, "select count(*) from pattern_events where ml_metadata ->> 'source' = 'blend'")
        connection.execute("select ml.set('label_horizon', 5, 'test'); select ml.label_outcomes()")
        assert _value(connection, "select count(*) from pattern_events where labeling_method = 'automatic'")
        connection.execute("truncate price_bars")
        assert contents(connection, of) != rows
    downgrade(older)
    with _open(older) as connection:
        assert differences(objects, catalogue(connection)) == []
        assert contents(connection, of) == rows


def test_comments_of_others_stay_and_ours_go(older: str) -> None:
    """A column that an earlier script made keeps its comment; one that the upgrade adds has ours."""
    commented = (
        "select attname::text from pg_attribute where attrelid = 'pattern_events'::regclass "
        "and col_description(attrelid, attnum) is not null and not attisdropped order by 1"
    )
    with _open(older) as connection:
        connection.execute("comment on column pattern_events.entry is 'theirs'")
        connection.execute("comment on table pattern_events is 'theirs'")
        found = set(columns(connection, "pattern_events"))
        objects = catalogue(connection)
    upgrade(older)
    with _open(older) as connection:
        added = set(columns(connection, "pattern_events")) - found
        assert {name for (name,) in connection.execute(commented)} == added | {"entry"}
        assert _value(connection, "select obj_description('pattern_events'::regclass, 'pg_class')") == "theirs"
    downgrade(older)
    with _open(older) as connection:
        assert differences(objects, catalogue(connection)) == []


def test_downgrade_keeps_what_clients_have_written_since(older: str, older_template: str) -> None:
    changed, noted = "md5('pattern 5')::uuid", "md5('pattern 6')::uuid"
    upgrade(older)
    with _open(older) as connection:
        _score_everything(connection)
        connection.execute(f"update pattern_events set confidence = 0.4321 where id = {changed}".encode())
        connection.execute(f"update pattern_events set operator_id = 'me' where id = {noted}".encode())
        fresh = _insert_as_old_client(connection)
        if "_b_" in older_template:  # a label in words that the older check does not know
            connection.execute("select ml.label(%s, 'positive', 'seen')", [fresh])
        connection.execute("select ml.set('threshold', 0, 'test')")
        _backfill(connection, Selection(rescore=True))
    downgrade(older)
    with _open(older) as connection:
        assert _value(connection, f"select confidence from pattern_events where id = {changed}") == 0.4321
        assert _value(connection, f"select operator_id from pattern_events where id = {noted}") == "me"
        assert row_of(connection, fresh, "confidence") == {"confidence": 0.6}
        assert _value(connection, "select count(*) from price_bars") == 800, "bars stay"


def test_up_down_up_gives_the_same_catalogue(older: str) -> None:
    upgrade(older)
    with _open(older) as connection:
        first = catalogue(connection)
    downgrade(older)
    upgrade(older)
    with _open(older) as connection:
        assert differences(first, catalogue(connection)) == []
        _score_everything(connection)


def test_bars_stay_on_downgrade_and_are_adopted_again(plain: str) -> None:
    upgrade(plain)
    with _open(plain) as connection:
        insert_bars(connection)
        first = catalogue(connection)
    downgrade(plain)
    with _open(plain) as connection:
        assert _value(connection, "select count(*) from price_bars") == 200
        assert connection.execute("select from pg_trigger where tgrelid = 'price_bars'::regclass").fetchall() == []
    upgrade(plain)
    with _open(plain) as connection:
        assert differences(first, catalogue(connection)) == []
        assert _value(connection, "select count(*) from price_bars") == 200
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("update price_bars set high = low - 1")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "alter table pattern_events add column ml_confidence text",
            r"public\.pattern_events\.ml_confidence .* text",
        ),
        ("alter table pattern_events add column scored_at date", r"public\.pattern_events\.scored_at .* date"),
        (
            "create table price_bars (symbol text, price numeric)",
            r"price_bars add column close double precision",
        ),
        (
            f"create table price_bars ({BAR_COLUMNS})",
            r"public\.price_bars .* unique key",
        ),
        ("create view price_bars as select 1 as symbol", r"public\.price_bars "),
        (
            "alter table pattern_events drop column verdict",
            r"pattern_events add column verdict text",
        ),
        (
            "alter table pattern_events add column scored_at timestamp",
            r"pattern_events\.scored_at .* without time zone",
        ),
        ("alter table pattern_events add column outcome_label text[]", r"pattern_events\.outcome_label .* text\[\]"),
        (
            "create type outcome as enum ('win'); alter table pattern_events add column outcome_label outcome",
            r"pattern_events\.outcome_label has type \S*outcome,",
        ),
        (
            "alter table pattern_events add column ml_confidence float8 generated always as (confidence) stored",
            r"pattern_events\.ml_confidence .*generated",
        ),
        (
            "alter table pattern_events add column model_version text not null default ''",
            r"pattern_events\.model_version .*not null",
        ),
        (
            """alter table pattern_events add column ml_confidence real;
            create view seen as select ml_confidence from pattern_events""",
            r"pattern_events\.ml_confidence .* real, .*widened",
        ),
        ("create table closed () inherits (pattern_events)", r"public\.pattern_events .*inherit"),
        (
            "alter table pattern_events rename to all_events; create table pattern_events () inherits (all_events)",
            r"public\.pattern_events .*inherit",
        ),
        (
            """drop table pattern_lifecycle_history; alter table pattern_events rename to once;
            create table pattern_events (like once) partition by list (symbol)""",
            r"public\.pattern_events .*partitioned",
        ),
        (
            "drop table pattern_lifecycle_history; alter table pattern_events set unlogged",
            r"public\.pattern_events .*unlogged",
        ),
        (
            f"""create foreign data wrapper far; create server away foreign data wrapper far;
            create foreign table price_bars ({BAR_COLUMNS}) server away""",
            r"public\.price_bars .*foreign table",
        ),
        (
            f"""create table price_bars ({BAR_COLUMNS}, primary key (symbol, timeframe, ts));
            create table old_bars () inherits (price_bars)""",
            r"public\.price_bars .*inherit",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name_with_nothing_changed(plain: str, statement: str, message: str) -> None:
    with _open(plain) as connection:
        connection.execute(statement.encode())
        of = shape(connection, "public")
        rows, objects = contents(connection, of), catalogue(connection)
    with pytest.raises(CommandError, match=message) as refused:
        upgrade(plain)
    assert "[SQL" not in str(refused.value)
    with _open(plain) as connection:
        assert differences(objects, catalogue(connection)) == []
        assert contents(connection, of) == rows


@pytest.mark.parametrize(
    ("statement", "alters"),
    [
        ("alter table pattern_events drop column verdict, drop column metadata, alter column target type text", 3),
        ("alter table pattern_events add column scored_at date", 1),
        ("alter table pattern_events add column ml_confidence float8 generated always as (confidence) stored", 1),
        ("alter table pattern_events add column model_version text not null default ''", 1),
    ],
)
def test_what_a_refusal_says_to_run_is_enough(plain: str, statement: str, alters: int) -> None:
    with _open(plain) as connection:
        connection.execute("drop view if exists pattern_summary")
        connection.execute(statement.encode())
    with pytest.raises(CommandError) as refused:
        upgrade(plain)
    told = re.findall(r"^ *(alter table .*;)$", str(refused.value), re.MULTILINE)
    assert len(told) == alters, str(refused.value)
    with _open(plain) as connection:
        for alter in told:
            connection.execute(alter.encode())
    upgrade(plain)


NARROW = {
    "rule_confidence": ("numeric(3,2)", "0.50"),
    "blended_confidence": ("real", "0.1"),
    "ml_confidence": ("numeric(6,2)", "0.25"),
    "prediction_class": ("char(3)", "'up'"),
    "model_version": ("varchar(12)", "'old-1'"),
    "scored_at": ("timestamptz(0)", "'2024-01-01'"),
    "prediction_latency_ms": ("smallint", "12"),
    "outcome_label": ("varchar(4)", "'win'"),
    "realized_pnl": ("numeric(4,2)", "-0.01"),
    "max_favorable_move": ("integer", "1"),
    "bars_to_outcome": ("smallint", "7"),
    "labeling_method": ('varchar(5) collate "C"', "'hand'"),
}
"""Columns of our names that hold less than we write, with a value of each."""


def _narrowed(connection: Connection) -> None:
    connection.execute("update pattern_events set parent_pattern_id = null")
    connection.execute("delete from pattern_lifecycle_history; delete from pattern_events where id::text > '1'")
    added = ", ".join(f"add column {name} {kind}" for name, (kind, _) in NARROW.items())
    connection.execute(f"alter table pattern_events {added}".encode())
    values = ", ".join(f"{name} = {value}" for name, (_, value) in NARROW.items())
    connection.execute(f"update pattern_events set {values} where id::text < '08'".encode())


def test_narrow_columns_are_widened_and_given_back(plain: str) -> None:
    with _open(plain) as connection:
        _narrowed(connection)
        of = shape(connection, "public")
        rows, objects = contents(connection, of), catalogue(connection)
    upgrade(plain)
    with _open(plain) as connection:
        _fill_with_ours(connection)
    downgrade(plain)
    with _open(plain) as connection:
        assert differences(objects, catalogue(connection)) == []
        assert contents(connection, of) == rows


def _fill_with_ours(connection: Connection) -> None:
    """Scores, latencies and outcomes that none of those columns could hold."""
    make_champion(connection, "a-version-of-more-than-twelve-letters")
    ids = [row[0] for row in connection.execute("select id::text from pattern_events").fetchall()]
    write_scores(connection, ids, [0.123456] * len(ids), enqueued_at=at(0))
    for pattern in ids:
        connection.execute("select ml.label(%s, 'positive', 'seen')", [pattern])
    wrong = connection.execute(
        "select id from pattern_events where round(ml_confidence, 6) <> 0.123456 or prediction_latency_ms < 1e6 "
        "or model_version <> 'a-version-of-more-than-twelve-letters' or labeling_method <> 'analyst'"
    )
    assert wrong.fetchall() == []


def test_a_column_whose_values_no_longer_fit_stays_wide_and_says_so(
    plain: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with _open(plain) as connection:
        _narrowed(connection)
    upgrade(plain)
    with _open(plain) as connection:
        make_champion(connection, "a-version-of-more-than-twelve-letters")
        write_scores(connection, [_insert_as_old_client(connection)], [0.7], enqueued_at=at(0))
    downgrade(plain)
    said = capsys.readouterr().err
    with _open(plain) as connection:
        kinds: dict[str, str] = dict(
            connection.execute(
                "select attname::text, format_type(atttypid, atttypmod) from pg_attribute "
                "where attrelid = 'pattern_events'::regclass and attname = any (%s)", [list(NARROW)],
            ).fetchall()
        )  # fmt: skip
        assert kinds["model_version"] == "character varying"
        assert kinds["prediction_latency_ms"] == "double precision"
        assert kinds["ml_confidence"] == "numeric(6,2)"
        assert row_of(connection, _newest(connection), "model_version", "ml_confidence::text") == {
            "model_version": "a-version-of-more-than-twelve-letters", "ml_confidence": "0.70",
        }  # fmt: skip
    assert all(name in said for name in ("model_version", "prediction_latency_ms", "prediction_class"))
    upgrade(plain)


def _newest(connection: Connection) -> str:
    return str(_value(connection, "select id from pattern_events order by created_at desc nulls last limit 1"))


def _unadopted(connection: Connection) -> int:
    count = _value(connection, "select count(*) from pattern_events where detected_at is null or direction is null")
    assert isinstance(count, int)
    return count


def test_small_batches_reach_every_row(older: str) -> None:
    upgrade(older, "0001")
    with _open(older) as connection:
        connection.execute(  # the lowest id there can be
            "insert into pattern_events (id, symbol, timeframe, pattern_type) "
            "values ('00000000-0000-0000-0000-000000000000', 'OLD0', '1d', 'flag');"
            "alter table pattern_events disable trigger user;"
            "update pattern_events set detected_at = null, direction = null where symbol = 'OLD0';"
            "alter table pattern_events enable trigger user"
        )
        assert _unadopted(connection) == ROWS + 1
        connection.execute("call ml_internal.adopt_rows(7)")
        assert _unadopted(connection) == 0
        filled = {
            "public.pattern_events": ["id", "detected_at", "direction", "rule_confidence"],
            "ml_internal.adopted_values": ["*"],
        }
        before = contents(connection, filled)
        connection.execute("call ml_internal.adopt_rows(7)")
        assert contents(connection, filled) == before
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="batch is 0"):
            connection.execute("call ml_internal.adopt_rows(0)")


def test_an_interrupted_adoption_can_be_repeated(older: str) -> None:
    with _open(older) as connection:
        of = _but_rule_confidence(shape(connection, "public"))
        rows = contents(connection, of)
    upgrade(older, "0001")
    with _open(older) as watcher, _open(older) as adopting:
        triggers = {key: detail for key, detail in catalogue(watcher).items() if key.startswith("trigger")}
        pid = adopting.info.backend_pid

        def adopt() -> None:
            with pytest.raises(psycopg.OperationalError):
                adopting.execute("call ml_internal.adopt_rows(1)")

        thread = threading.Thread(target=adopt)
        thread.start()
        wait_until(lambda: _unadopted(watcher) < ROWS - 20, "adoption")
        watcher.execute("select pg_terminate_backend(%s)", [pid])
        thread.join()
        assert 0 < _unadopted(watcher) < ROWS
        now = {key: detail for key, detail in catalogue(watcher).items() if key.startswith("trigger")}
        assert differences(triggers, now) == []
    upgrade(older)
    with _open(older) as connection:
        assert _unadopted(connection) == 0
        assert contents(connection, of) == rows


def test_downgrade_from_a_half_done_adoption_loses_nothing(older: str) -> None:
    with _open(older) as connection:
        of = shape(connection, "public")
        rows, objects = contents(connection, of), catalogue(connection)
    upgrade(older, "0001")
    with _open(older) as connection:
        poison = "check (detected_at is null or id::text < '8') not valid"
        connection.execute(f"alter table pattern_events add constraint poison {poison}".encode())
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("call ml_internal.adopt_rows(7)")
        connection.execute("alter table pattern_events drop constraint poison")
        assert 0 < _unadopted(connection) < ROWS
    downgrade(older)
    with _open(older) as connection:
        assert differences(objects, catalogue(connection)) == []
        assert contents(connection, of) == rows


def test_adoption_waits_for_a_busy_writer_but_not_for_ever(plain: str) -> None:
    upgrade(plain, "0001")
    with psycopg.connect(plain) as writer, _open(plain) as adopting:
        writer.execute("update pattern_events set operator_id = 'me' where id = md5('pattern 1')::uuid")
        adopting.execute("set lock_timeout = '20ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            adopting.execute("call ml_internal.adopt_rows()")
        adopting.execute("set lock_timeout = '200ms'")
        release = threading.Timer(0.35, writer.commit)  # after the first refusal, long before the last
        release.start()
        adopting.execute("call ml_internal.adopt_rows()")
        release.join()
        assert _unadopted(adopting) == 0
        assert row_of(adopting, str(_value(adopting, "select md5('pattern 1')::uuid")), "operator_id") == {
            "operator_id": "me"
        }


def test_a_row_not_yet_adopted_is_its_clients_alone(older: str) -> None:
    changed, emptied = "md5('pattern 9')::uuid", "md5('pattern 18')::uuid"
    with _open(older) as connection:
        of = shape(connection, "public")
        of["public.pattern_events"] = [n for n in of["public.pattern_events"] if n not in ("confidence", "updated_at")]
        rows = contents(connection, of)
    upgrade(older, "0001")
    with _open(older) as connection:
        connection.execute(f"update pattern_events set confidence = 0.4321 where id = {changed}".encode())
        connection.execute(f"update pattern_events set confidence = null where id = {emptied}".encode())
        assert contents(connection, of) == rows, "nothing is blended from what an earlier script left"
    upgrade(older)
    downgrade(older)
    with _open(older) as connection:
        assert contents(connection, of) == rows
        assert _value(connection, f"select confidence from pattern_events where id = {changed}") == 0.4321
        assert _value(connection, f"select confidence from pattern_events where id = {emptied}") is None


def test_old_clients_write_while_rows_are_adopted(older: str) -> None:
    upgrade(older, "0001")
    stop = threading.Event()
    inserted: list[str] = []
    changed: dict[str, float] = {}
    errors: list[Exception] = []

    def write() -> None:
        try:
            with _open(older) as connection:
                connection.execute(f"set session authorization {OLD_CLIENT}")
                ids = [
                    row[0] for row in connection.execute("select id::text from pattern_events order by id::text desc")
                ]
                for n, pattern in enumerate(ids):
                    if stop.is_set():
                        break
                    inserted.append(_insert_as_old_client(connection))
                    with connection.transaction():  # one that stays open for a while
                        connection.execute("update pattern_events set status = 'confirmed' where id = %s", [pattern])
                        changed[pattern] = n / 10_000
                        connection.execute(
                            "update pattern_events set confidence = %s where id = %s", [changed[pattern], pattern]
                        )
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    with _open(older) as connection:
        wait_until(lambda: len(changed) > 5, "writing")
        connection.execute("set lock_timeout = '5s'")
        connection.execute("call ml_internal.adopt_rows(7)")
        stop.set()
        thread.join()
        assert errors == []
        assert _unadopted(connection) == 0
        # Rows with an older ML confidence are blended at once; the others show what was written.
        found = connection.execute(
            "select p.id::text, p.confidence, p.rule_confidence::float8, p.status::text, "
            "  (to_jsonb(v) ->> 'rule_confidence')::float8 "
            "from pattern_events p left join ml_internal.adopted_values v on v.pattern_id = p.id "
            "where p.id = any (%s) and p.ml_confidence is null",
            [list(changed)],
        ).fetchall()
        assert len(found) > 5
        assert all(confidence == changed[pattern] for pattern, confidence, *_ in found)
        assert {status for *_, status, _ in found} == {"confirmed"}
        # A rule confidence that an earlier script left beside it is as it was.
        assert all(rule == changed[pattern] for pattern, _, rule, _, had in found if had is None)
        kept = connection.execute(
            "select count(*) from pattern_events where confidence = 0.6 and id::text = any (%s)", [inserted]
        ).fetchone()
        assert kept == (len(inserted),)
        queued = {row[0] for row in connection.execute("select pattern_id::text from ml.queue")}
        assert queued == set(inserted)


@pytest.mark.parametrize("trigger", ["pattern_events_updated_at", "pattern_lifecycle_transition"])
def test_a_trigger_that_was_off_stays_off(older: str, trigger: str) -> None:
    with _open(older) as connection:
        connection.execute(f"alter table pattern_events disable trigger {trigger}".encode())
    states = f"select tgname, tgenabled::text from pg_trigger where tgname = '{trigger}'".encode()
    upgrade(older)
    with _open(older) as connection:
        assert connection.execute(states).fetchall() == [(trigger, "D")]
    downgrade(older)
    with _open(older) as connection:
        assert connection.execute(states).fetchall() == [(trigger, "D")]
