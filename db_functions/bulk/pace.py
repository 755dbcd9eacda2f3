"""Live rows first: bulk work goes slower while they wait longer than the service level."""

from __future__ import annotations

import time
from typing import Final

from db_functions.bulk.sessions import Stopping
from db_functions.database import Connection
from db_functions.queries import fetch_value

_LOOK_S: Final = 1.0
_STEP_S: Final = 0.1
_LONGEST_S: Final = 2.0


class Pace:
    """How long to rest before the next page."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._looked_at = float("-inf")
        self._rest_s = 0.0

    def keep(self, stopping: Stopping) -> None:
        """Rest if live rows are slow, longer each time; soon stop resting when they are not."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            slow = fetch_value(self._connection, "pace")
            longer = min(_LONGEST_S, max(_STEP_S, 2 * self._rest_s))
            self._rest_s = longer if slow else self._rest_s / 2 if self._rest_s > _STEP_S else 0.0
        end = time.monotonic() + self._rest_s
        while not stopping() and (left := end - time.monotonic()) > 0:
            time.sleep(min(_STEP_S, left))
