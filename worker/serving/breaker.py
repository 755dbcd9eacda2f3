"""The circuit breaker: sets a model aside that keeps failing, and tries it again later."""

from __future__ import annotations

import time

FAULTS = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 600.0


class Breaker:
    """Closed while the model answers. After FAULTS batches in a row without an answer it opens for a while, then lets
    one batch through; the pause doubles each time that batch fails."""

    def __init__(self) -> None:
        self._faults = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None

    def lets_through(self) -> bool:
        """Whether the model may be asked now."""
        return self._open_until is None or time.monotonic() >= self._open_until

    def answered(self) -> bool:
        """Note an answer; returns whether it closes the breaker."""
        was_open = self._open_until is not None
        self._faults, self._pause_s, self._open_until = 0, FIRST_PAUSE_S, None
        return was_open

    def failed(self, *, proven: bool) -> bool:
        """Note a batch without an answer, ``proven`` the model's fault or not; returns whether the breaker is open."""
        self._faults += 1
        if not proven and self._faults < FAULTS and self._open_until is None:
            return False
        if self._open_until is not None:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._open_until = time.monotonic() + self._pause_s
        return True
