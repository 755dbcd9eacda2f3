"""The demo's picture: what each answer predicted and what came true, as one HTML page without scripts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from demo.quality import BASE, BINS, EARLIER, FIRST_PASSAGE, ML, READ, RULE, Judged
from training.plots import Plot

PAGE: Final = Path(".cache/demo.html")
_COLOURS: Final = {RULE: "#c2611f", FIRST_PASSAGE: "#3a8f5c", ML: "#1f5fa8", READ: "#7a4fa3", EARLIER: "#8a6d1f"}
_STYLE: Final = """
:root { --ink: #22252a; --line: #e4e6ea; --muted: #8a8f98; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
figcaption { font-weight: 600; }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
"""


def write_picture(judged: Judged, page: Path = PAGE) -> Path:
    """Write the page, a plot for every answer that has one, and return where it is."""
    figures = "".join(_figure(judged, name) for name in judged.answers if name != BASE)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Predicted and observed</title>'
        f"<style>{_STYLE}</style><h1>Predicted and observed</h1>"
        f"<p>The {len(judged):,} live rows of the demo with an outcome. Each dot is a fifth of them: across, what was "
        f"predicted on average; upwards, how often the target was reached before the stop, with its 95 % interval. On "
        f"the dashed line the two agree.</p>{figures}</html>",
        encoding="utf-8",
    )
    return page


def _figure(judged: Judged, name: str) -> str:
    plot = Plot((0.0, 1.0), (0.0, 1.0), ("predicted", "observed"))
    plot.line([0.0, 1.0], [0.0, 1.0], "#8a8f98", dashed=True)
    for one in judged.bins(name, BINS):
        low, high = (min(max(end, 0.0), 1.0) for end in one.observed.interval())
        plot.point(one.predicted, one.observed.value, low, high, _COLOURS[name])
    caption = f"{name}: Brier score {judged.brier(name).value:.4f}"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{plot.svg(caption)}</figure>"
