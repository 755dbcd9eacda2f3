"""Progress: bars on a terminal, one plain line for each stage in a log.

Everything goes to standard error. A bar redraws its line, which would be hundreds of lines in a file or a pipe.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(items: Iterable[Any] | None = None, *, shown: bool, **how: Any) -> Any:
    """A tqdm bar over ``items``, or one to ``update``; silent unless ``shown`` and on a terminal."""
    # tqdm takes None as "only on a terminal".
    return tqdm(items, leave=False, disable=None if shown else True, **how)


def say(line: str) -> None:
    """Print a line above all bars."""
    tqdm.write(line, file=sys.stderr)


class Stages:
    """Call with the name of each stage as it begins: a bar on a terminal, elsewhere a line when a stage is done."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._lines = shown and not sys.stderr.isatty()
        self._bar = bar(total=total, shown=shown, desc="train", unit="stage")
        self._name = ""
        self._began = 0.0

    def __enter__(self) -> Stages:
        return self

    def __call__(self, name: str) -> None:
        self._end()
        self._name, self._began = name, time.monotonic()
        self._bar.set_postfix_str(name)

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
