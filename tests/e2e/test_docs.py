"""The documents are true: what they show is run, and what they name is there.

In ``docs/*.md`` a fenced block of ``sql`` is run, block by block, in one database per document (at head, with the bars
and models of :func:`prepare`; that of the README has the first-passage model alone, as it says); a block of ``text``
right after it is the expected result or error, where ``…`` stands for anything. A block of ``python`` is executed in an
empty directory. A block of ``sh`` must parse, and is run when a block of ``text`` follows, in bring-your-own.md always.
Four comments steer: ``<!-- run: as ROLE -->``, ``<!-- run: worker -->``, which scores what waits, ``<!-- run: drift
-->``, which lets a model score rows unlike those it was trained on, and ``<!-- run: needs PACKAGE -->``, which ends the
run where that is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from alembic.config import CommandLine
from psycopg.pq import DiagnosticField, ExecStatus

import bench.__main__
import demo.__main__
import training.cli
import worker.cli
from db_functions.contract import INPUTS, OPTIONAL_OUTPUTS, OUTPUTS
from db_functions.database import Connection
from tests.conftest import ROOT
from tests.drift_support import featured_baseline, insert_rows, register_featured
from tests.sql_support import IN_SYSTEM
from tests.support import (
    at,
    insert_bars,
    insert_labelled,
    make_champion,
    random_bars,
    register,
    small_model,
    wait_until,
)
from worker.serving.engine import Engine
from worker.serving.startup import ENVIRONMENT

DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
EVERYTHING = [*DOCUMENTS, ROOT / "CHANGELOG.md"]
ABSENT = "Not there yet"
"""The heading under which documents name what does not exist; everything named elsewhere does."""
PLACEHOLDERS = {
    "N": "1", "FILE": "model.onnx", "VERSION": "forest-1", "TIME": "2024-01-31", "ID": "0" * 32, "SYMBOL": "ACME",
    "SECONDS": "1", "RUN": "1", "HOST": "127.0.0.1", "PORT": "8000", "NAME": "logistic",
    "REASON": "because", "REVISION": "0001",
    "OTHER": "forest-2",
}  # fmt: skip

every_document = pytest.mark.parametrize("document", EVERYTHING, ids=lambda path: path.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a document does: ``kind`` is a block's language, ``as``, ``worker`` or ``needs``."""

    kind: str
    text: str
    line: int
    shown: str | None = None


def steps(text: str) -> list[Step]:
    found: list[Step] = []
    lines = text.splitlines()
    i, gap = 0, True
    while i < len(lines):
        if comment := re.fullmatch(r"<!-- run: (as|worker|drift|needs) ?(\w*) -->", lines[i]):
            found.append(Step(comment[1], comment[2], i + 1))
        elif fence := re.fullmatch(r"```(\w*)", lines[i]):
            end = lines.index("```", i + 1)
            body = "\n".join(lines[i + 1 : end])
            if fence[1] == "text" and not gap:
                last = found.pop()
                found.append(Step(last.kind, last.text, last.line, body))
            elif fence[1] != "text":
                found.append(Step(fence[1], body, i + 1))
            i, gap = end, False
        elif lines[i].strip():
            assert "<!-- run" not in lines[i], f"line {i + 1} is not a comment that this test knows"
            gap = True
        i += 1
    return found


# What the documents run against


def prepare(connection: Connection) -> None:
    """Daily bars of ACME, a table as a feed leaves it, one champion and one more model."""
    insert_bars(connection, random_bars(200, seed=2))
    connection.execute(
        "create table feed as select 'ACME' as symbol, timestamptz '2024-07-18 13:00Z' + n * interval '1 hour' as "
        "opened_at, 100 as open, 101 as high, 99 as low, 100.5 as close, 9 as volume from generate_series(0, 59) n;"
        "grant select on feed to public"
    )
    make_champion(connection, "forest-1", small_model("forest-1", bias=0.7, sensitivity=0.2))
    register(connection, "forest-2", small_model("forest-2", bias=0.1, sensitivity=0.2))
    connection.execute("update ml.settings set gate_pairs = default")


def with_history(connection: Connection, url: str) -> None:
    """Twelve scored and labelled patterns, then another champion and one pattern more."""
    with scorer(url) as score_all:
        for number in range(13):
            if number == 12:
                connection.execute("select ml.promote('forest-2', 'cheaper to run', force => true)")
            day = 130 + 4 * number
            connection.execute(
                "insert into pattern_events (symbol, timeframe, detected_at, entry, stoploss, target, pattern_type, "
                "confidence) select symbol, timeframe, ts, close, close * 0.98, close * 1.02, %s, %s from price_bars "
                "where symbol = 'ACME' and ts = %s",
                ["wedge" if number % 3 == 0 else "flag", 0.5 + number / 50, at(day)],
            )
            score_all()
    connection.execute("select ml.label_outcomes()")


def with_drift(url: str) -> None:
    """A champion of four features, and 300 patterns whose entries are higher than those it was trained on."""
    with psycopg.connect(url, autocommit=True) as connection:
        register_featured(connection, "featured", featured_baseline())
        insert_rows(connection, np.random.default_rng(4).normal(101.5, 1.2, 300), seed=5)
    score(url)


@contextlib.contextmanager
def scorer(url: str) -> Iterator[Callable[[], None]]:
    """A worker's engine; each call scores what waits."""
    with psycopg.connect(url, autocommit=True) as connection:
        engine = Engine(connection)
        engine.refresh_model()
        yield lambda: wait_until(lambda: engine.score_queue().done == 0, "an empty queue")


def score(url: str) -> None:
    with scorer(url) as score_all:
        score_all()


def without_checklist(document: Path) -> str:
    """The text but for the checklist of operators.md, which tests/e2e/test_checklist.py runs in an empty database."""
    text = document.read_text()
    if document.name != "operators.md":
        return text
    before, rest = text.split("## From nothing to production\n", 1)
    checklist, after = rest.split("\n## ", 1)
    return before + "\n" * checklist.count("\n") + "\n\n## " + after


def run_sql(connection: Connection, text: str) -> str:
    """What psql would print of the last statement, without the row count; of an error its message and hint."""
    result = connection.pgconn.exec_(text.encode())
    if result.status == ExecStatus.FATAL_ERROR:
        fields = [("ERROR", DiagnosticField.MESSAGE_PRIMARY), ("HINT", DiagnosticField.MESSAGE_HINT)]
        said = [(name, result.error_field(field)) for name, field in fields]
        return "\n".join(f"{name}:  {message.decode()}" for name, message in said if message)
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    rows = [
        [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]
    if not names or names == ["set"]:
        return ""
    lines = [names, *rows]
    widths = [max(len(part) for row in lines for part in row[column].split("\n")) for column in range(len(names))]
    printed = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    printed.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in printed)


def run_shell(text: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for command in commands(text):
            {"worker": worker.cli.main, "training": training.cli.main}[command[2]](command[3:])
    return printed.getvalue().rstrip("\n")


def same(shown: str, given: str) -> bool:
    """Line by line, widths of columns aside; ``…`` in what is shown matches anything."""
    pattern = [
        r"\s*\|\s*".join(re.escape(cell.strip()).replace("…", ".*") for cell in line.split("|"))
        for line in shown.rstrip().splitlines()
        if not re.fullmatch(r"[-+]+", line)
    ]
    lines = [line.strip() for line in given.splitlines() if not re.fullmatch(r"[-+]+", line)]
    return len(pattern) == len(lines) and all(map(re.fullmatch, pattern, lines))


def play(document: Path, url: str, report: Callable[[Step, str], None]) -> None:
    """Run a document's steps in order; ``report`` is told what each printed."""
    scope: dict[str, Any] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        if document.name == "README.md":
            worker.cli.main(["first-passage", "--promote"])
        else:
            prepare(connection)
        if document.name == "analysts.md":
            with_history(connection, url)
        if document.name == "bring-your-own.md":
            insert_labelled(connection)
        connection.execute("set timezone = 'UTC'")
        for step in steps(without_checklist(document)):
            if step.kind == "needs" and importlib.util.find_spec(step.text) is None:
                return
            if step.kind == "as":
                connection.execute(f"set role {step.text}".encode())
            elif step.kind == "worker":
                score(url)
            elif step.kind == "drift":
                with_drift(url)
            elif step.kind == "sql":
                report(step, run_sql(connection, step.text))
            elif step.kind == "python":
                with warnings.catch_warnings():
                    # PyTorch says that another exporter is newer; that one needs a package more.
                    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
                    warnings.filterwarnings("ignore", "You are using the legacy TorchScript", DeprecationWarning)
                    exec(compile(step.text, f"line {step.line}", "exec", dont_inherit=True), scope)
            elif step.kind == "sh" and (step.shown is not None or document.name == "bring-your-own.md"):
                report(step, run_shell(step.text))


def complain(step: Step, given: str) -> None:
    if step.shown is None:
        assert not given.startswith("ERROR"), f"line {step.line}: {given}"
    else:
        assert same(step.shown, given), f"line {step.line} shows\n{step.shown}\nbut this is printed:\n{given}"


@pytest.mark.parametrize(
    "document",
    # Three tools that write ONNX take a minute.
    [pytest.param(it, marks=pytest.mark.slow) if it.name == "bring-your-own.md" else it for it in DOCUMENTS],
    ids=lambda path: path.name,
)
def test_blocks_run_and_print_what_is_shown(
    document: Path, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    play(document, database, complain)


@pytest.mark.parametrize(
    ("shown", "given"),
    [
        ("a | b\n--+--\n1 | 2", "a | b\n--+--\n1 | 3"),
        ("a\n-\n1", "a\n-\n1\n2"),
        ("a\n-\n1\n…", "a\n-\n1"),
        ("a\n-\n1.5", "a\n-\n1x5"),
        ("ERROR:  no", "ERROR:  not"),
    ],
)
def test_a_wrong_output_is_noticed(shown: str, given: str) -> None:
    assert not same(shown, given)
    assert same(given, given)


def test_a_block_that_fails_is_noticed() -> None:
    with pytest.raises(AssertionError, match="line 7"):
        complain(Step("sql", "select", 7), "ERROR:  syntax error")


# Commands


def commands(text: str) -> Iterator[list[str]]:
    """The commands of one ``sh`` block or one code span, environment in front left out, placeholders filled in."""
    for line in text.splitlines():
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)]
        words = words[: words.index(">")] if ">" in words else words
        words = words[:-1] if words and words[-1] == "&" else words
        if "&&" in words:
            yield from commands(shlex.join(words[: (at := words.index("&&"))]))
            words = words[at + 1 :]
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def shown_commands(document: Path) -> Iterator[list[str]]:
    text = document.read_text()
    for step in steps(text):
        if step.kind == "sh":
            yield from commands(step.text)
    for span in re.findall(r"`((?:python -m|pattern-scoring|alembic|make) [^`]+)`", text):
        yield from commands(" ".join(span.split()))


def parser_of(module: str) -> argparse.ArgumentParser:
    return {"worker": worker.cli._parser, "training": training.cli.parser}[module]()


def parse(command: Sequence[str]) -> None:
    """Raises SystemExit, as the program itself would, when the command cannot be parsed."""
    match command:
        case ["python", "-m", "worker" | "training"] | ["pattern-scoring", "worker" | "training"] | ["pattern-scoring"]:
            pass  # the program, not a command
        case ["python", "-m", "worker" | "training" as module, *rest]:
            parser_of(module).parse_args(rest)
        case ["python", "-m", "demo", *rest]:
            demo.__main__._parse(rest)
        case ["python", "-m", "bench", *rest]:
            bench.__main__._parse(rest)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), f"there is no module {module}"
        case ["pattern-scoring", "worker" | "training" as module, *rest]:
            parser_of(module).parse_args(rest)
        case ["pattern-scoring", "migrate", *rest]:
            CommandLine().parser.parse_args(rest or ["upgrade", "head"])
        case ["pattern-scoring", "psql" | "demo", *_]:
            pass
        case [".", *_]:
            pass  # a shell's own
        case ["curl", *_]:
            pass  # tests/e2e/test_checklist.py runs it
        case ["alembic", *rest]:
            CommandLine().parser.parse_args(rest)
        case ["make", *targets]:
            known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            unknown = {target for target in targets if "=" not in target} - set(known)
            assert not unknown, f"the Makefile has no {unknown}"
        case _:
            pytest.fail(f"{shlex.join(command)}: not a command that this test knows")


@every_document
def test_commands_parse(document: Path) -> None:
    for command in shown_commands(document):
        try:
            parse(command)
        except SystemExit as error:
            assert error.code in (0, None), f"{document.name}: {shlex.join(command)} does not parse"  # noqa: PT017


@pytest.mark.parametrize("command", ["python -m worker run --process x", "alembic upgrad", "python -m training sho x"])
def test_a_wrong_command_is_noticed(command: str) -> None:
    with pytest.raises(SystemExit):
        parse(command.split())


@pytest.mark.parametrize(("module", "document"), [("worker", "operators.md"), ("training", "data-scientists.md")])
def test_every_command_and_option_is_documented(module: str, document: str) -> None:
    text = (ROOT / "docs" / document).read_text()
    choices = next(a.choices for a in parser_of(module)._actions if isinstance(a, argparse._SubParsersAction))
    assert choices
    for name, command in dict(choices).items():
        assert f"python -m {module} {name}" in text, f"python -m {module} {name} is not documented"
        options = [option for action in command._actions for option in action.option_strings if option[:2] == "--"]
        missing = [option for option in options if option != "--help" and option not in text]
        assert not missing, f"python -m {module} {name}: {missing} not documented"


# Names, links, files


def documents() -> str:
    """What is written by hand: of what is generated, other tests know that it is whole."""
    generated = ("features.md", "reference.md")
    return "\n".join(document.read_text() for document in DOCUMENTS if document.name not in generated)


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file) if file else document
        assert path.exists(), f"{document.name}: {target} does not exist"
        assert not anchor or anchor in anchors(path), f"{document.name}: {target}: no such heading"


@every_document
def test_named_files_exist(document: Path) -> None:
    folders = "db_functions|worker|training|tests|docs|alembic|bench"
    for name in re.findall(rf"`((?:{folders})/[^`\s:]*)`", document.read_text()):
        if not re.search("[A-Z]", name):
            assert list(ROOT.glob(name.rstrip("/"))), f"{document.name}: {name} does not exist"


def parted(text: str) -> tuple[str, str]:
    """The text outside, and the text inside, of sections headed ``ABSENT``."""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    absent = [section for section in sections if section.startswith(f"## {ABSENT}")]
    return "".join(section for section in sections if section not in absent), "".join(absent)


def one_column(connection: Connection, statement: str, *parameters: object) -> list[str]:
    return [row[0] for row in connection.execute(statement.encode(), parameters)]


@every_document
def test_names_in_our_schemas_are_true(document: Path, transaction: Connection) -> None:
    for schema in ("ml", "ml_internal"):
        there = set(
            one_column(
                transaction,
                "select relname from pg_class where relnamespace = %s::regnamespace "
                "union select proname from pg_proc where pronamespace = %s::regnamespace",
                schema,
                schema,
            )
        )
        outside, inside = (set(re.findall(rf"\b{schema}\.([a-z_]+)", part)) for part in parted(document.read_text()))
        assert not outside - there, f"{document.name} names what is not in {schema}: {outside - there}"
        assert not inside & there, f"{document.name} calls absent what is in {schema}: {inside & there}"


@pytest.mark.parametrize("name", ["README.md", "docs/applications.md"])
def test_applications_are_told_of_public_names_only(name: str) -> None:
    assert re.findall(r"ml_internal[.\w]*", (ROOT / name).read_text()) == []


def test_contract_is_documented() -> None:
    text = (ROOT / "docs" / "data-scientists.md").read_text()
    for spec in [*INPUTS.values(), *OUTPUTS.values(), *OPTIONAL_OUTPUTS.values()]:
        row = f"| `{spec.name}` | {spec.describe()} | {spec.meaning} |"
        assert row in text, f"data-scientists.md lacks: {row}"


def test_environment_is_documented() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    assert [name for name in (*ENVIRONMENT, "DATABASE_URL") if f"`{name}`" not in text] == []


def test_every_alert_has_its_entry_in_the_runbook(transaction: Connection) -> None:
    """With a query to run first, which the runbook's own blocks run."""
    views = [f"ml_internal.alert_{name}" for name in ("states", "server", "upkeep", "rates", "drift", "performance")]
    conditions = one_column(transaction, "select pg_get_viewdef('ml_internal.alert_conditions'::regclass)")[0]
    assert set(re.findall(r"\balert_\w+", conditions)) == {view.removeprefix("ml_internal.") for view in views}
    types = set[str]()
    for view in views:
        (definition,) = one_column(transaction, "select pg_get_viewdef(%s::regclass)", view)
        types |= set(re.findall(r"'(\w+)'::text AS type", definition))
        types |= set(re.findall(r"'([a-z]+_[a-z_]+)'::text", definition))
    assert {"no_worker", "calibration", "service_level", "prediction_drift"} <= types
    entries = re.split(r"^## ", (ROOT / "docs" / "runbook.md").read_text(), flags=re.MULTILINE)[1:]
    with_query = {entry.split("\n", 1)[0] for entry in entries if "```sql" in entry}
    rules = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "prometheus-rules.yaml").read_text())
    assert with_query == types | {", ".join(name for name in rules if name != "PatternScoringAlert")}


def test_every_function_that_somebody_may_call_is_documented(transaction: Connection) -> None:
    callable_ = one_column(
        transaction,
        "select distinct p.proname from pg_proc p, unnest(%s::text[]) role "
        "where p.pronamespace = 'ml'::regnamespace and has_function_privilege(role, p.oid, 'execute')",
        ["ml_app", "ml_worker", "ml_analyst", "ml_publisher", "ml_operator"],
    )
    assert len(callable_) > 10
    assert [name for name in callable_ if not re.search(rf"\bml\.{name}\b", documents())] == []


@pytest.mark.parametrize("relation", ["public.pattern_events", "public.price_bars", "ml.settings_history"])
def test_every_column_is_documented(relation: str, transaction: Connection) -> None:
    columns = one_column(
        transaction,
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        relation,
    )
    assert [name for name in columns if f"`{name}`" not in documents()] == []


# Tables of applications.md


def table(heading: str, document: str = "applications.md") -> list[list[str]]:
    """The cells of the first table under a heading, without its header."""
    text = (ROOT / "docs" / document).read_text()
    section = text.split(f"{heading}\n", 1)[1]
    lines = re.findall(r"^\|(.+)\|$", section.split("\n#", 1)[0].lstrip(), re.MULTILINE)
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)] for line in lines[2:]]


def test_channels_are_all_there(transaction: Connection) -> None:
    sources = one_column(
        transaction,
        f"select prosrc from pg_proc where pronamespace {IN_SYSTEM}",
    )
    sent = {name for source in sources for name in re.findall(r"ml_internal.notify\('(\w+)'", source)}
    assert {row[0] for row in table("## Channels", "operators.md")} == sent


def test_reasons_are_all_there(transaction: Connection) -> None:
    (source,) = one_column(transaction, "select pg_get_functiondef(oid) from pg_proc where proname = 'decide'")
    used = set(re.findall(r"'(\w+)'::text", source))
    assert len(used) > 5
    assert {row[0] for row in table("### Reasons")} == used


def insert(relation: str, changes: str) -> str:
    """An INSERT of a sound row with some columns set otherwise; ``changes`` is ``name = expression, ...``."""
    row = {
        "pattern_events": {
            "symbol": "'ACME'", "timeframe": "'1d'", "pattern_type": "'flag'", "detected_at": "'2024-07-01'",
            "entry": "100", "stoploss": "95", "target": "110", "confidence": "0.6",
        },
        "price_bars": {
            "symbol": "'NEW'", "timeframe": "'1d'", "ts": "'2024-07-01'", "open": "100", "high": "101", "low": "99",
            "close": "100.5", "volume": "1000",
        },
    }[relation]  # fmt: skip
    row |= dict(re.findall(r"(\w+) = (.+?)(?=, \w+ = |$)", changes))
    return f"insert into {relation} ({', '.join(row)}) values ({', '.join(row.values())}) returning *"


def test_what_is_rejected(connection: Connection) -> None:
    prepare(connection)
    connection.execute("set timezone = 'UTC'")
    for relation in ("pattern_events", "price_bars"):
        rows = table(f"### Rejected by {relation}")
        assert len(rows) > 5
        for changes, message in rows:
            said = run_sql(connection, insert(relation, changes)).splitlines()[0]
            assert said == f"ERROR:  {message}", f"{relation} with {changes} says {said}"


def test_what_is_accepted(connection: Connection, database: str) -> None:
    prepare(connection)
    rows = table("### Accepted")
    assert len(rows) > 5
    ids = []
    for changes, _, _ in rows:
        found = connection.execute(f"{insert('pattern_events', changes)}".encode()).fetchone()
        assert found is not None
        ids.append(found[0])
    score(database)
    for pattern_id, (changes, reason, _) in zip(ids, rows, strict=True):
        query = "select ml_metadata ->> 'reason' from pattern_events where id = %s"
        assert one_column(connection, query, pattern_id) == [reason], changes


@every_document
def test_blocks_are_of_kinds_that_are_run(document: Path) -> None:
    kinds = {step.kind for step in steps(document.read_text())}
    assert kinds <= {"sql", "sh", "python", "as", "worker", "drift", "needs", "json", ""}, document.name
