"""Templates of the model card and the report: Jinja2 environments that escape every value by default."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from training.scores import fixed, percent

_MARKDOWN_SYNTAX: Final = re.compile(r"[\\`*<>|&~]|](?=[(\[:])|(?<!\w)_|_(?!\w)|:(?=//)|(?<=[wW]{3})\.")
"""What could be markup, a bare address included, of which GitHub and others make a link."""
_NUMBER: Final = re.compile(r"[-+]?[\d,]*(\.\d+)?%?")


def render_html(template: str, **values: Any) -> str:
    return _environment(autoescape=True).get_template(template).render(values)


def render_markdown(template: str, **values: Any) -> str:
    """Strings among ``values`` become text: their Markdown syntax is escaped and their line ends become spaces."""
    return _environment(finalize=markdown_text).get_template(template).render(values, table=markdown_table)


def _environment(*, autoescape: bool = False, finalize: Callable[[Any], Any] | None = None) -> Environment:
    environment = Environment(
        loader=PackageLoader("training"),
        autoescape=autoescape,  # noqa: S701 - Markdown is escaped by ``finalize``
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": "{:,}".format, "day": day, "fixed": fixed, "percent": percent}
    return environment


def day(seconds: int) -> str:
    """The UTC date of Unix seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()


def markdown_text(value: Any) -> Any:
    """``value`` with the syntax of Markdown escaped when it is a plain string."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _MARKDOWN_SYNTAX.sub(r"\\\g<0>", re.sub(r"\s+", " ", value))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Padded, so that it reads well in a terminal too; columns of numbers are aligned to the right."""
    lines = [[markdown_text(cell) or "" for cell in line] for line in (header, *rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    numeric = [len(column) > 1 and all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    padded = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        for line in lines
    ]
    # Every cell was escaped above.
    return Markup("\n".join("| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:])))  # noqa: S704


def markdown_to_html(text: str, *, without: Sequence[str] = ()) -> Markup:
    """Markdown as HTML that loads nothing and links nowhere, its headings one level lower.

    The title is left out, and so are the sections whose second-level headings are ``without``.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["image", "link", "autolink", "reference"])
    tokens = parser.parse(text)
    if tokens and tokens[0].tag == "h1":
        # Its opening, its text and its end.
        tokens = tokens[3:]
    kept = [_lowered(token) for token in _without_sections(tokens, without)]
    html = parser.renderer.render(kept, parser.options, {})
    html = html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return Markup(html)  # noqa: S704 - the parser escapes text and passes no HTML through


def _without_sections(tokens: Sequence[Token], without: Sequence[str]) -> Iterator[Token]:
    skipping = False
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.type == "heading_open" and token.tag in ("h1", "h2"):
            skipping = following.content in without
        if not skipping:
            yield token


def _lowered(token: Token) -> Token:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    return token
