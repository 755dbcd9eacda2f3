"""Limits on what a model can do to its process, and a first run in a child process that may be killed.

A model is untrusted input: 85 bytes can ask for 6 GB, and a damaged file can kill the process that loads it. So a child
loads and runs it first, in an empty directory, with little memory and time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from db_functions.errors import InvalidModel, one_line

MODEL_BYTES: Final = 64 * 2**20
"""The largest model file that is registered, and that is loaded."""
TRIAL_S: Final = 30.0
TRIAL_MEMORY: Final = 3 * 2**30
WORKER_MEMORY: Final = 8 * 2**30

_FILE_BYTES: Final = 4_096
"""The largest file that a child may write: Python writes a few bytes when it looks for a temporary directory."""
_ROOT: Final = str(Path(__file__).resolve().parents[1])
_INHERITED: Final = ("PATH", "LD_LIBRARY_PATH")
_SIZES: Final = struct.Struct(">QQ")
_passed: set[bytes] = set()
"""Digests of what has passed here; the same bytes need no second trial."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: a negative ``exit_code`` is the signal that killed it."""

    exit_code: int
    output: bytes
    last_line: str
    """Of its standard error, empty when it wrote nothing."""


def run_child(module: str, arguments: Sequence[str], data: bytes, timeout_s: float) -> Ended | None:
    """Run ``python -m MODULE ARGUMENTS`` with ``data`` on stdin; None when it did not end within ``timeout_s``.

    The child sees no variables of this process, which may hold secrets, and works in an empty directory, where no file
    lies that a model could name.
    """
    path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(  # noqa: S603  # our own interpreter and module
                # -B: bytecode cut off at the limit on files would break every later import.
                [sys.executable, "-B", "-m", module, *arguments],
                input=data,
                capture_output=True,
                timeout=timeout_s,
                cwd=empty,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return Ended(done.returncode, done.stdout, lines[-1] if lines else "")


def limit_child(memory_bytes: int = TRIAL_MEMORY, seconds: int = int(TRIAL_S)) -> None:
    """Bound this process: address space, processor time, the size of files, no core dumps."""
    for kind, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        value = _allowed(kind, most)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (value, value))


def limit_memory(most: int = WORKER_MEMORY) -> None:
    """Let allocations beyond ``most`` bytes of address space fail, so that the machine does not run out of memory."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    # Not every system has this limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_allowed(resource.RLIMIT_AS, most), hard))


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def require_trial(version: str, data: bytes, golden: bytes | None) -> None:
    """Load the model in a child and run it on its golden rows, or on plain ones. Raises InvalidModel on failure."""
    stream = _SIZES.pack(len(data), len(golden or b"")) + data + (golden or b"")
    digest = hashlib.sha256(stream).digest()  # with the sizes: bytes moved from one to the other are another model
    if digest in _passed:
        return
    ended = run_child("db_functions.trial", [version], stream, TRIAL_S)
    if ended is None:
        raise InvalidModel(f"model {version} did not finish its trial run within {TRIAL_S:g} s")
    if ended.exit_code == 1 and ended.last_line.startswith("model "):
        raise InvalidModel(one_line(ended.last_line))
    if ended.exit_code != 0:
        said = f"{one_line(ended.last_line)} " if ended.last_line else ""
        raise InvalidModel(f"model {version} failed its trial run: {said}(exit code {ended.exit_code})")
    _passed.add(digest)


def read_trial(stream: bytes) -> tuple[bytes, bytes | None]:
    """The model and its golden rows, as :func:`require_trial` sent them."""
    size, golden_size = _SIZES.unpack_from(stream)
    start = _SIZES.size + size
    return stream[_SIZES.size : start], stream[start : start + golden_size] if golden_size else None


def _allowed(kind: int, most: int) -> int:
    _, hard = resource.getrlimit(kind)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)
