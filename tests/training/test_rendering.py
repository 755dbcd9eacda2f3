"""The model card as Markdown: values stay text, tables stay tables, and a new baseline is one more line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from markdown_it import MarkdownIt

from tests.training_support import SMALL, small_artifact, small_dataset
from training.metrics import METRICS
from training.pipeline import train
from training.rendering import markdown_table, markdown_text, markdown_to_html
from training.scores import score_lines

HOSTILE = "<script>x</script>|`*a* _b_ [c](http://d) ![e](http://f)\n# g &amp; ~~h~~ \\"


def test_hostile_text_is_read_as_text() -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("strikethrough").render(markdown_text(HOSTILE))
    assert "<script>" not in html
    tags = {part.split(">")[0].split()[0] for part in html.split("<")[1:]}
    assert tags == {"p", "/p"}
    shown = MarkdownIt().parseInline(markdown_text(HOSTILE))[0].children
    assert shown is not None
    assert "".join(token.content for token in shown) == " ".join(HOSTILE.split("\n"))


@pytest.mark.parametrize("text", ["see http://evil.example/x", "www.evil.example", "HTTPS://a.b"])
def test_a_bare_address_is_no_link_where_the_card_is_shown(text: str) -> None:
    """GitHub and others make links of them; a backslash before a sign that only they read ends that."""
    escaped = markdown_text(text)
    assert not {"p://", "S://", "www."} & {escaped[at : at + 4] for at in range(len(escaped))}
    shown = MarkdownIt().parseInline(escaped)[0].children
    assert shown is not None
    assert "".join(token.content for token in shown) == text


@pytest.mark.parametrize("text", ["random_forest, logistic", "0.1234 [0.1000, 0.2000]", "2013-10-05", "+0.5 ± 0.1"])
def test_ordinary_text_reads_well_in_a_terminal(text: str) -> None:
    assert markdown_text(text) == text


def test_a_hostile_cell_does_not_break_the_table() -> None:
    html = MarkdownIt("commonmark").enable("table").render(markdown_table(["a", "b"], [[HOSTILE, "1"]]))
    assert html.count("<td") == 2
    assert "<script>" not in html


def test_symbols_and_pattern_types_stay_text_on_the_card() -> None:
    data = small_dataset().take(slice(0, 900))
    hostile = np.full(len(data), HOSTILE, dtype=object)
    changed = replace(data, inputs={**data.inputs, "pattern_type": hostile}, symbol=hostile)
    card = train(changed, ["logistic"], seed=1, size=SMALL).model_card
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    assert "<script>" not in html
    assert "<a " not in html
    assert html.count("<table>") == small_artifact().model_card.count("\n| -")


def test_sections_are_left_out_by_their_heading() -> None:
    text = "# T\n\nfirst\n\n## A\n\nx\n\n### deeper\n\ny\n\n## B\n\n- z `c`\n"
    html = markdown_to_html(text, without=["A"])
    assert html == "<p>first</p>\n<h3>B</h3>\n<ul>\n<li>z <code>c</code></li>\n</ul>\n"


def test_a_further_baseline_is_one_more_line() -> None:
    metrics = small_artifact().metrics
    before = score_lines(metrics)
    part = metrics["with_rule"]
    further = {"rows": 50, "first_passage": part["rule"], "ml_minus_first_passage": part["ml_minus_rule"]}
    lines = score_lines({**metrics, "with_first_passage": further})
    assert lines[: len(before)] == before
    assert [line.title for line in lines[len(before) :]] == ["first passage", "ML confidence - first passage"]
    assert [line.rows for line in lines[len(before) :]] == [50, 50]
    assert lines[-1].figures.keys() == METRICS.keys()


def test_a_score_over_the_same_rows_is_not_repeated() -> None:
    metrics = small_artifact().metrics
    again = {**metrics, "with_rule": {"rows": metrics["rows"], "ml": metrics["ml"]}}
    names = [line.name for line in score_lines(again)]
    assert names[:3] == ["ml", "base", "ml_minus_base"]
    assert len(names) == len(set(names))
