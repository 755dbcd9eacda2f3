"""What a thread keeps between slices: a connection, and the models, which are fetched once."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from db_functions.bulk.bits import Pins
from db_functions.database import Connection

Stopping = Callable[[], bool]


class Session(ABC):
    """Works pages off over one connection."""

    connection: Connection

    @abstractmethod
    def pins(self) -> Pins:
        """The models that answer here, and in which bits."""

    @abstractmethod
    def refresh(self) -> None:
        """Load the models that serve now; outside a transaction."""

    @abstractmethod
    def work(self, ids: Sequence[str]) -> Mapping[str, float]:
        """Work off a page in the transaction of the caller; returns what came of it, for the ledger."""

    @abstractmethod
    def before(self, stopping: Stopping) -> int:
        """Let live rows go first, outside a transaction; returns how many were scored here."""

    def close(self) -> None:
        self.connection.close()


_kept: dict[int, tuple[Hashable, Session]] = {}
"""By thread: a connection serves one slice at a time."""


def keep(key: Hashable, open_session: Callable[[], Any]) -> Any:
    """The session of this thread for ``key``; one for another key is closed."""
    here = threading.get_ident()
    found = _kept.get(here)
    if found is not None and found[0] == key and not found[1].connection.closed:
        return found[1]
    drop()
    session = open_session()
    _kept[here] = (key, session)
    return session


def drop(thread: int | None = None) -> None:
    """Close the session of a thread, this one by default."""
    found = _kept.pop(thread or threading.get_ident(), None)
    if found is not None:
        with contextlib.suppress(Exception):
            found[1].close()


def close_kept() -> None:
    """Close the sessions of all threads."""
    for thread in list(_kept):
        drop(thread)
