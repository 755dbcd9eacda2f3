"""How long work shows itself, on standard error: a bar that redraws its line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any

_WIDTH = 30
_EVERY_S = 0.2
_LOG_EVERY_S = 10.0
_open: list[Bar] = []
"""Bars that have not ended, the innermost last: a terminal has one line, and that one draws it."""


class Bar:
    """``outer 1/5 fit > label  [#####.....]  1,234/5,000 rows  812/s  4 s left``, silent unless ``shown``.

    Iterate over it, or call :meth:`update`. A ``lasting`` bar writes a line to a log now and then, and leaves its last
    line; any other shows itself on a terminal only, and vanishes.
    """

    def __init__(
        self,
        items: Iterable[Any] | None = None,
        *,
        shown: bool,
        desc: str,
        total: int | None = None,
        unit: str = "",
        lasting: bool = False,
    ) -> None:
        self._items = items
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self._label, self._unit, self._note = desc, unit, ""
        self._terminal = sys.stderr.isatty()
        self._shown = shown and (self._terminal or lasting)
        self._lasting = lasting
        self._done = 0
        self._started = self._drawn_at = time.monotonic()
        if self._shown:
            _open.append(self)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self._items or ():
                yield item
                self.update()
        finally:
            self.close()

    def update(self, done: int = 1) -> None:
        """Count ``done`` more, and draw when it is time."""
        self._done += done
        now = time.monotonic()
        if self._shown and now - self._drawn_at >= (_EVERY_S if self._terminal else _LOG_EVERY_S):
            self._drawn_at = now
            self._draw()

    def note(self, text: str) -> None:
        """Say beside the count what is being done."""
        self._note = text

    def close(self) -> None:
        """Draw for the last time, or vanish."""
        if self not in _open:
            return
        if self._lasting:
            if self._total:
                self._draw()
                print(end="\n" if self._terminal else "", file=sys.stderr, flush=True)
        else:
            _erase()
        _open.remove(self)

    def _draw(self) -> None:
        if not self._terminal:
            print(self._line(), file=sys.stderr, flush=True)
        elif _open[-1] is self:
            outer = "".join(f"{bar.place()} > " for bar in _open[:-1])
            print(f"\r{outer}{self._line()}\x1b[K", end="", file=sys.stderr, flush=True)

    def place(self) -> str:
        """How far it is, in a few words, ahead of the bar inside it."""
        return " ".join(filter(None, [self._label, self._count(), self._note]))

    def _count(self) -> str:
        of_all = "" if self._total is None else f"/{self._total:,}"
        return f"{self._done:,}{of_all}{f' {self._unit}s' if self._unit else ''}"

    def _line(self) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = self._done / elapsed
        share = min(1.0, self._done / self._total) if self._total else 1.0
        rest_s = (self._total - self._done) / rate if self._total and rate and self._done < self._total else None
        left = f"{elapsed:.1f} s" if rest_s is None else f"{rest_s:,.0f} s left"
        filled = "#" * int(share * _WIDTH)
        return f"{self._label}  [{filled:.<{_WIDTH}}]  {self._count()}  {rate:,.0f}/s  {left}"


def bar(items: Iterable[Any] | None = None, *, shown: bool, desc: str, total: int | None = None, unit: str = "") -> Bar:
    """A bar for a terminal only, which vanishes when it ends; over ``items``, or one to update."""
    return Bar(items, shown=shown, desc=desc, total=total, unit=unit)


def say(line: str) -> None:
    """Print a line of its own; a bar is drawn again below it."""
    if _open and sys.stderr.isatty():
        _erase()
    print(line, file=sys.stderr, flush=True)


class Stages:
    """Call it with the name of each stage as it begins: a bar on a terminal, elsewhere a line when a stage is done."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._lines = shown and not sys.stderr.isatty()
        self._bar = Bar(total=total, shown=shown, desc="train", unit="stage")
        self._name = ""
        self._began = 0.0

    def __enter__(self) -> Stages:
        return self

    def __call__(self, name: str) -> None:
        self._end()
        self._name, self._began = name, time.monotonic()
        self._bar.note(name)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._end()
        self._bar.close()

    def _end(self) -> None:
        if not self._name:
            return
        self._bar.update()
        if self._lines:
            print(f"{self._name:<12} {time.monotonic() - self._began:6.1f} s", file=sys.stderr, flush=True)


def _erase() -> None:
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
