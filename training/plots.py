"""Plots as SVG text, for pages that must stand alone: no scripts, no fonts or files from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = Sequence[float] | Floats

MODEL: Final = "#1f5fa8"
OTHER: Final = "#c2611f"
QUIET: Final = "#8a8f98"
WARN: Final = "#b3261e"
_INK: Final = "#22252a"
_GRID: Final = "#e4e6ea"
_HALO: Final = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
"""Of text, so that lines behind it do not strike it through."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 12, 14, 40
_TICKS: Final = 5


class Plot:
    """Axes from ``x`` and ``y`` limits; what is drawn later lies above what was drawn before."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
        *,
        width: int = 440,
        height: int = 300,
    ) -> None:
        self._x, self._y, self._width, self._height = x, y, width, height
        self._parts: list[str] = []
        self._grid(labels)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return (
            _LEFT + across * (self._width - _LEFT - _RIGHT),
            self._height - _BOTTOM - up * (self._height - _TOP - _BOTTOM),
        )

    def _path(self, xs: Values, ys: Values) -> str:
        return " ".join("{:.1f},{:.1f}".format(*self._at(x, y)) for x, y in zip(xs, ys, strict=True))

    def _grid(self, labels: tuple[str, str]) -> None:
        for value in np.linspace(*self._x, _TICKS):
            across, below = self._at(value, self._y[0])
            self._parts.append(f'<path d="M{across:.1f} {_TOP}V{below:.1f}" stroke="{_GRID}"/>')
            self._text(across, below + 15, _short(value), "middle")
        for value in np.linspace(*self._y, _TICKS):
            left, up = self._at(self._x[0], value)
            self._parts.append(f'<path d="M{left:.1f} {up:.1f}H{self._width - _RIGHT}" stroke="{_GRID}"/>')
            self._text(left - 6, up + 4, _short(value), "end")
        middle = (_LEFT + self._width - _RIGHT) / 2
        self._text(middle, self._height - 6, labels[0], "middle")
        centre = (_TOP + self._height - _BOTTOM) / 2
        turned = f' transform="rotate(-90 12 {centre:.0f})"'
        self._text(12, centre, labels[1], "middle", turned)

    def _text(self, x: float, y: float, text: str, anchor: str, more: str = "", colour: str = _INK) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{more}>{escape(text)}</text>'
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

    def point(self, x: float, y: float, low: float, high: float, colour: str) -> None:
        """A dot with an upright interval."""
        (across, up), (_, bottom), (_, top) = self._at(x, y), self._at(x, low), self._at(x, high)
        self._parts.append(
            f'<path d="M{across:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}" stroke-width="1.4"/>'
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3.4" fill="{colour}"/>'
        )

    def bars(self, edges: Floats, heights: Floats, colour: str) -> None:
        """A histogram's bars, translucent so that two may be laid over each other."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x0, y0), (x1, y1) = self._at(left, 0), self._at(right, height)
            self._parts.append(
                f'<rect x="{x0:.1f}" y="{y1:.1f}" width="{max(0.5, x1 - x0 - 1):.1f}" height="{y0 - y1:.1f}" '
                f'fill="{colour}" fill-opacity="0.6"/>'
            )

    def svg(self, title: str) -> str:
        return _svg(self._width, self._height, title, self._parts)


def bar_list(values: Sequence[tuple[str, float]], title: str, *, marks: Sequence[float] = (), width: int = 660) -> str:
    """Named values as horizontal bars from zero, with upright lines at ``marks``."""
    row, left, right = 20, 230, 80
    digits, sign = _digits(values), "+" if any(value < 0 for _, value in values) else ""
    low, high = min([0.0, *(v for _, v in values)]), max([1e-9, *marks, *(v for _, v in values)])
    height = row * len(values) + 12

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = [f'<path d="M{at(m):.1f} 0V{height - 8}" stroke="{WARN}" stroke-dasharray="3 3"/>' for m in marks]
    for number, (name, value) in enumerate(values):
        y = number * row
        start, end = sorted((at(0), at(value)))
        parts.append(
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end" fill="{_INK}">{escape(name)}</text>'
            f'<rect x="{start:.1f}" y="{y + 4}" width="{max(1, end - start):.1f}" height="12" fill="{MODEL}"/>'
            f'<text x="{max(end, at(0)) + 6:.1f}" y="{y + 14}" fill="{_INK}" {_HALO}>{value:{sign}.{digits}f}</text>'
        )
    return _svg(width, height, title, parts)


def _digits(values: Sequence[tuple[str, float]]) -> int:
    """Decimals that give the largest value three digits that count."""
    largest = max((abs(value) for _, value in values), default=0.0)
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 9)) if largest > 0 else 0


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg role="img" aria-label="{escape(title)}" {size}><title>{escape(title)}</title>{"".join(parts)}</svg>'


def _short(value: float) -> str:
    return f"{value:.3g}"
