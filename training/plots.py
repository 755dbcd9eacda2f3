"""Plots as SVG text, for pages that must stand alone: no scripts, no fonts or files from elsewhere.

Colours are CSS variables of the page, so that a plot follows its light or dark scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = Sequence[float] | Floats

MODEL: Final = "var(--model)"
OTHER: Final = "var(--other)"
QUIET: Final = "var(--muted)"
_INK: Final = "var(--ink)"
_GRID: Final = "var(--line)"
_WIDTH, _HEIGHT = 440, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 12, 14, 42
_STEPS: Final = (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
_MOST_TICKS: Final = 6


class Plot:
    """Axes from ``x`` and ``y`` limits; what is drawn later lies above what was drawn before."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str]) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []
        self._grid(labels)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    def _path(self, xs: Values, ys: Values) -> str:
        return " ".join("{:.1f},{:.1f}".format(*self._at(x, y)) for x, y in zip(xs, ys, strict=True))

    def _grid(self, labels: tuple[str, str]) -> None:
        for value in _ticks(*self._x):
            across, below = self._at(value, self._y[0])
            self._parts.append(f'<path d="M{across:.1f} {_TOP}V{below:.1f}" stroke="{_GRID}"/>')
            self._text(across, below + 15, _short(value), "middle")
        for value in _ticks(*self._y):
            left, up = self._at(self._x[0], value)
            self._parts.append(f'<path d="M{left:.1f} {up:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
            self._text(left - 6, up + 4, _short(value), "end")
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        self._text(middle, _HEIGHT - 6, labels[0], "middle")
        centre = (_TOP + _HEIGHT - _BOTTOM) / 2
        turned = f' transform="rotate(-90 13 {centre:.0f})"'
        self._text(13, centre, labels[1], "middle", turned)

    def _text(self, x: float, y: float, text: str, anchor: str, more: str = "") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}"{more}>{escape(text)}</text>'
        )

    def line(self, xs: Values, ys: Values, colour: str, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{self._path(xs, ys)}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'
        )

    def band(self, xs: Floats, low: Floats, high: Floats, colour: str) -> None:
        """The area between two curves."""
        there, back = self._path(xs, low), self._path(xs[::-1], high[::-1])
        self._parts.append(f'<polygon points="{there} {back}" fill="{colour}" fill-opacity="0.15"/>')

    def within(self, ys: Floats) -> Floats:
        """``ys`` kept within the limits of the plot."""
        return np.clip(ys, *self._y)

    def point(self, x: float, y: float, low: float, high: float, colour: str) -> None:
        """A dot with an upright interval."""
        (across, up), (_, bottom), (_, top) = self._at(x, y), self._at(x, low), self._at(x, high)
        self._parts.append(
            f'<path d="M{across:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}" stroke-width="1.4"/>'
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.4" fill="{colour}"/>'
        )

    def bars(self, edges: Floats, heights: Floats, colour: str) -> None:
        """The bars of a histogram, translucent so that two can overlap."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x0, y0), (x1, y1) = self._at(left, 0), self._at(right, height)
            self._parts.append(
                f'<rect x="{x0:.1f}" y="{y1:.1f}" width="{max(0.5, x1 - x0 - 1):.1f}" height="{y0 - y1:.1f}" '
                f'fill="{colour}" fill-opacity="0.6"/>'
            )

    def svg(self, title: str) -> Markup:
        size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        name = escape(title)
        drawn = "".join(self._parts)
        # Every text among the parts was escaped when it was drawn.
        return Markup(f'<svg role="img" aria-label="{name}" {size}><title>{name}</title>{drawn}</svg>')  # noqa: S704


def _ticks(low: float, high: float) -> Floats:
    """Round values from ``low`` to ``high``."""
    step = next((step for step in _STEPS if (high - low) / step < _MOST_TICKS), high - low)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0


def _short(value: float) -> str:
    return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A named value as a horizontal bar, its width in percent of the longest."""

    name: str
    label: str
    width: float


@dataclass(frozen=True, slots=True)
class BarList:
    """Bars on one scale, with upright lines at ``marks``, in percent too."""

    bars: list[Bar]
    marks: list[float]


def bar_list(values: Sequence[tuple[str, float]], marks: Sequence[float] = ()) -> BarList:
    """Named values, none below zero. All labels have the decimals that give the largest value three digits."""
    largest = max((value for _, value in values), default=0.0)
    digits = int(np.clip(2 - np.floor(np.log10(largest)), 0, 9)) if largest > 0 else 0
    scale = 100 / max(largest, *marks, 1e-9)
    bars = [Bar(name, f"{value:.{digits}f}", value * scale) for name, value in values]
    return BarList(bars, [mark * scale for mark in marks])
