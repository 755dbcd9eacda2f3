"""Child processes that may be killed: ours, in an empty directory, without the variables of this process.

This module imports nothing heavy, so that a program can start a child and do its own imports beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = str(Path(__file__).resolve().parents[1])
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: a negative ``exit_code`` is the signal that killed it."""

    exit_code: int
    output: bytes
    last_line: str
    """Of its standard error, empty when it wrote nothing."""


class Child:
    """``python -m MODULE ARGUMENTS``, which waits for what it reads from stdin.

    It sees no variables of this process, which may hold secrets, and works in an empty directory, where no file lies
    that a model could name.
    """

    def __init__(self, module: str, arguments: Sequence[str] = ()) -> None:
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PYTHONPATH": path}
        self._empty = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            # -B: bytecode cut off at the limit on files would break every later import.
            [sys.executable, "-B", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._empty.name,
            env=environment,
        )

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def finish(self, data: bytes, timeout_s: float) -> Ended | None:
        """Give it ``data`` and wait; None, and it is killed, when it does not end within ``timeout_s``."""
        try:
            output, said = self._process.communicate(data, timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()
        lines = said.decode(errors="replace").strip().splitlines()
        return Ended(self._process.returncode, output, lines[-1] if lines else "")

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        with self._process:  # closes the pipes
            self._empty.cleanup()


def run_child(module: str, arguments: Sequence[str], data: bytes, timeout_s: float) -> Ended | None:
    """Run a child with ``data`` on stdin; None when it did not end within ``timeout_s``."""
    return Child(module, arguments).finish(data, timeout_s)


TRIAL: Final = "db_functions.trial"
_waiting: list[Child] = []


def prepare_trial() -> None:
    """Start the child of the first trial of a model, so that it has loaded what it needs when the model comes."""
    with suppress(OSError):  # then the trial says what is wrong with this host
        _waiting.append(Child(TRIAL))


def trial_child() -> Child:
    """The child that waits, or a new one."""
    return _waiting.pop() if _waiting and _waiting[-1].is_alive else Child(TRIAL)


def dismiss_trial() -> None:
    """End the child that waits: there is nothing to try."""
    while _waiting:
        _waiting.pop().kill()
