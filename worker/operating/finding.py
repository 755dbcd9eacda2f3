"""What a check of ``doctor`` found."""

from __future__ import annotations

from dataclasses import dataclass

OK, FAIL, SKIP = "ok", "FAIL", "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; a failure says what to do in ``remedy``."""

    outcome: str
    text: str
    remedy: str = ""
