"""``pattern-scoring``: one command for whatever is installed.

Each sub-command is an entry point of the group ``pattern_scoring.commands``: a function that takes arguments and
returns an exit code. ``worker`` and ``training`` are found in the installation, not in the working directory, where a
folder may have the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

from db_functions.errors import ScoringError
from db_functions.extras import not_installed

GROUP = "pattern_scoring.commands"
_CLONE = Path(__file__).parents[1]
_ABOUT = {
    "migrate": "make or upgrade the schema: `upgrade head`, unless told otherwise",
    "worker": "score patterns; backfill, doctor, status, http and more",
    "training": "train, check, register, explain and promote models",
    "psql": "open the database, the embedded one too",
    "demo": "the main job on real market data",
}
"""What the help says of each, in its order."""

Main = Callable[[Sequence[str]], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of the sub-command; 2 for wrong usage, 1 when it is not installed completely."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    found = _commands()
    if not given or given[0] in ("-h", "--help"):
        print(_help(found))
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        print(f"pattern-scoring {version('pattern-scoring')}")
        return 0
    if given[0] not in found:
        print(f"pattern-scoring: there is no command {given[0]!r}; there are {', '.join(found)}", file=sys.stderr)
        return 2
    try:
        return found[given[0]]()(given[1:])
    except ModuleNotFoundError as error:
        print(f"pattern-scoring: {not_installed(error)}", file=sys.stderr)
    except ScoringError as error:
        print(f"pattern-scoring: {error}", file=sys.stderr)
    return 1


def _commands() -> dict[str, Callable[[], Main]]:
    """How to load each sub-command, by name."""
    found: dict[str, Callable[[], Main]] = {entry.name: entry.load for entry in entry_points(group=GROUP)}
    if (_CLONE / "alembic.ini").exists() and (_CLONE / "demo").is_dir():
        found["demo"] = _demo
    return {name: found[name] for name in sorted(found, key=[*_ABOUT, *found].index)}


def _demo() -> Main:
    """That of the clone in which this package lies; it is not packaged."""
    sys.path.append(str(_CLONE))
    return EntryPoint("demo", "demo.__main__:main", GROUP).load()  # type: ignore[no-any-return]


def _help(found: Sequence[str] | dict[str, Callable[[], Main]]) -> str:
    lines = [f"  {name:<9} {_ABOUT.get(name, '')}".rstrip() for name in found]
    return "\n".join(["usage: pattern-scoring COMMAND ...", "", *lines, "", "COMMAND --help says more."])
