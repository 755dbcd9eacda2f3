"""Models for pattern scoring: trained from the database, or brought along.

For notebooks and scripts: :func:`load_labelled` gives labelled rows as a DataFrame, :data:`FEATURES` names its feature
columns, :func:`publish` registers a classifier that was fitted on them. The rest is ``python -m training``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from training.publishing.frame import load_labelled
    from training.publishing.publish import Gate, Published, publish

    FEATURES: list[str]

__all__ = ["FEATURES", "Gate", "Published", "load_labelled", "publish"]

_HOMES: Final = {
    "load_labelled": "training.publishing.frame",
    "publish": "training.publishing.publish",
    "Published": "training.publishing.publish",
    "Gate": "training.publishing.publish",
}


def __getattr__(name: str) -> Any:
    # The training stack takes seconds to import, which the command line does only for what needs it.
    if name == "FEATURES":
        return list(import_module("training.features").FEATURE_NAMES)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
