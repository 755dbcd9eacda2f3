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
from pathlib import Path
from typing import Final

from db_functions.children import trial_child
from db_functions.errors import InvalidModel, one_line

MODEL_BYTES: Final = 64 * 2**20
"""The largest model file that is registered, and that is loaded."""
TRIAL_S: Final = 30.0
TRIAL_MEMORY: Final = 3 * 2**30
WORKER_MEMORY: Final = 8 * 2**30

_FILE_BYTES: Final = 4_096
"""The largest file that a child may write: Python writes a few bytes when it looks for a temporary directory."""
_SIZES: Final = struct.Struct(">QQQ")
_passed: set[bytes] = set()
"""Digests of what has passed here; the same bytes need no second trial."""


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
    named = version.encode()
    stream = _SIZES.pack(len(named), len(data), len(golden or b"")) + named + data + (golden or b"")
    digest = hashlib.sha256(stream).digest()  # with the sizes: bytes moved from one to the other are another model
    if digest in _passed:
        return
    ended = trial_child().finish(stream, TRIAL_S)
    if ended is None:
        raise InvalidModel(f"model {version} did not finish its trial run within {TRIAL_S:g} s")
    if ended.exit_code == 1 and ended.last_line.startswith("model "):
        raise InvalidModel(one_line(ended.last_line))
    if ended.exit_code != 0:
        said = f"{one_line(ended.last_line)} " if ended.last_line else ""
        raise InvalidModel(f"model {version} failed its trial run: {said}(exit code {ended.exit_code})")
    _passed.add(digest)


def read_trial(stream: bytes) -> tuple[str, bytes, bytes | None]:
    """Version, model and golden rows, as :func:`require_trial` sent them."""
    named, size, golden_size = _SIZES.unpack_from(stream)
    start = _SIZES.size + named
    end = start + size
    golden = stream[end : end + golden_size] if golden_size else None
    return stream[_SIZES.size : start].decode(), stream[start:end], golden


def _allowed(kind: int, most: int) -> int:
    _, hard = resource.getrlimit(kind)
    return most if hard == resource.RLIM_INFINITY else min(most, hard)
