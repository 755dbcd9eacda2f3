"""``docs/benchmarks.md``, rendered from the raw numbers: figures and plots from them, the text from templates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench import plots
from bench.figures import FIGURES, number
from bench.harness import SETTINGS
from bench.results import SECTIONS, Results, read_runs

DOCUMENT: Final = Path("docs/benchmarks.md")
PLOTS: Final = Path("docs/benchmarks")
_TEMPLATES: Final = Path(__file__).parent / "templates"


def write() -> None:
    """Write the document and its plots; a section that was never measured is left out, and named."""
    found = {section: Results.read(section) for section in SECTIONS}
    plots.draw(found, PLOTS)
    measured = [section for section, results in found.items() if results.numbers]
    runs = read_runs()
    text = (
        _environment()
        .get_template("benchmarks.md.jinja")
        .render(
            settings=SETTINGS,
            figures={section: FIGURES[section](found[section]) for section in measured},
            missing=[section for section in SECTIONS if section not in measured],
            runs=runs,
            places=list(dict.fromkeys(text for run in runs for text in (run.machine, run.versions))),
        )
    )
    DOCUMENT.write_text(text, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters |= {"number": number, "code": _code, "percent": "{:.0%}".format}
    environment.globals |= {"table": _table, "met": _met}
    return environment


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _met(good: bool) -> str:
    return "met" if good else "not met"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
