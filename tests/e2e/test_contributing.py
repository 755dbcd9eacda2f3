"""CONTRIBUTING, SECURITY and the decisions name what is there: every path exists and every link leads somewhere."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import db_functions

ROOT = Path(db_functions.__file__).parent.parent
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DOCUMENTS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DECISIONS]
RECORDS = [path for path in DECISIONS if path.name != "README.md"]
HEADINGS = ["Context", "Decision", "Consequences", "What would change it"]
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
every_record = pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.name)


def paths(text: str) -> list[str]:
    """What is named like a file or folder of the repository, in code spans and blocks."""
    folders = "db_functions|worker|training|tests|docs|alembic|bench|demo|deploy"
    code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    found = [word for part in code for word in re.findall(rf"(?<![\w./-])(?:{folders}|\.ci|\.github)/[\w./-]+", part)]
    return [*found, *re.findall(r"`((?:db_functions|worker|training|tests|alembic|bench))`", text)]


def anchors(text: str) -> set[str]:
    """The anchors that a page offers: its headings in lower case, spaces as dashes, other signs left out."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(document: Path) -> list[str]:
    """The links that lead nowhere."""
    faults = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            faults.append(link)
    return faults


@every_document
def test_paths_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [path for path in paths(text) if not (ROOT / path).exists()] == []


@every_document
def test_links_work(document: Path) -> None:
    assert broken(document) == []


@every_document
def test_nothing_is_left_to_fill_in(document: Path) -> None:
    assert "TODO" not in document.read_text(encoding="utf-8")


@every_document
def test_modules_that_are_run_exist(document: Path) -> None:
    modules = re.findall(r"python -m (\w+(?:\.\w+)*)", document.read_text(encoding="utf-8"))
    assert [module for module in modules if find_spec(module) is None] == []


def test_what_is_wrong_is_noticed(tmp_path: Path) -> None:
    assert paths("`worker/gone.py` and `worker`\n```sh\npython tests/gone -q\n```") == [
        "worker/gone.py",
        "tests/gone",
        "worker",
    ]
    page = tmp_path / "page.md"
    page.write_text(
        "# One page: two\n[a](page.md#one-page-two) [b](page.md#three) [c](gone.md) [d](https://example.com)"
    )
    assert broken(page) == ["page.md#three", "gone.md"]


@every_record
def test_a_decision_has_the_usual_parts_and_fits_a_page(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert text.startswith(f"# {record.name[:4]}: ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) <= 65


def test_the_index_lists_every_decision() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == [path.name for path in RECORDS]
    assert [path.name[:4] for path in RECORDS] == [f"{n:04}" for n in range(1, len(RECORDS) + 1)]


def test_five_changes_touch_at_most_five_files_each() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Five changes")[1].split("\n## ")[0]
    changes = text.split("\n### ")[1:]
    files = [re.findall(r"^\| `", change, re.MULTILINE) for change in changes]
    assert len(changes) == 5
    assert all(1 <= len(found) <= 5 for found in files)


def test_hosted_checks_run_what_runs_here() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert "secrets." not in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_hooks_run_programs_that_the_environment_has() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff", "ruff-format", "mypy", "sql-style"}
    assert [path for hook in hooks for path in paths(f"`{hook['entry']}`") if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("package", ["db_functions", "training", "worker"])
def test_packages_ship_their_types(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    data = re.search(rf"^{package} = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert data is not None
    assert '"py.typed"' in data[1]
