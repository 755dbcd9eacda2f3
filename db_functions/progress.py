"""A progress line for long work, on a terminal or in a log, without a dependency."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_WIDTH = 30
_EVERY_S = 0.2
_LOG_EVERY_S = 10.0


class Progress:
    """``label  [#####.....]  1,234/5,000  812/s  4 s left``; on something that is no terminal, a line now and then."""

    def __init__(self, label: str, total: int, *, enabled: bool = True) -> None:
        self._label = label
        self._total = total
        self._enabled = enabled
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown_at = self._started
        self._done = 0

    def __enter__(self) -> Progress:
        return self

    def update(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._shown_at >= (_EVERY_S if self._terminal else _LOG_EVERY_S):
            self._shown_at = now
            self._show(end="\r" if self._terminal else "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._total:
            self._show(end="\n")

    def _show(self, end: str) -> None:
        if not self._enabled:
            return
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = self._done / elapsed
        share = min(1.0, self._done / self._total) if self._total else 1.0
        bar = "#" * int(share * _WIDTH)
        left = (
            f"{(self._total - self._done) / rate:,.0f} s left"
            if rate and self._done < self._total
            else f"{elapsed:.1f} s"
        )
        print(
            f"{self._label}  [{bar:.<{_WIDTH}}]  {self._done:,}/{self._total:,}  {rate:,.0f}/s  {left}   ",
            end=end,
            file=sys.stderr,
            flush=True,
        )
