"""Whether two processes would write the same scores: the same code, the same models, the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from db_functions.golden import Golden
from db_functions.model import Model, plain_rows

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("db_functions", "worker", "training")


class Pins(NamedTuple):
    """What every process of a job must agree on."""

    models: tuple[int, ...]
    """Ids of the models that answer."""
    bits: str
    """SHA-256 of their answers to their golden rows."""


def pins_of(models: Iterable[Model]) -> Pins:
    """Let each model answer its golden rows, or plain ones where it has none."""
    given, digest = list(models), hashlib.sha256()
    for model in given:
        rows = Golden.from_bytes(model.golden).inputs if model.golden else plain_rows(model)
        for values in model.run({name: rows[name] for name in model.input_names}).values():
            digest.update(np.ascontiguousarray(values).tobytes())
    return Pins(tuple(model.id for model in given), digest.hexdigest())


@cache
def code() -> str:
    """A digest of the code that scores, as this process would import it."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted((_ROOT / package).rglob("*")):
            if file.suffix in (".py", ".sql"):
                digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
