"""``pattern-scoring migrate``: Alembic's commands with the migrations that come with this package."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from db_functions.errors import ScoringError

_CLONE = Path(__file__).parents[1] / "alembic"
_UPGRADE = ("upgrade", "head")


def main(arguments: Sequence[str]) -> int:
    """``upgrade head`` without arguments; others are Alembic's: ``current``, ``downgrade base``, ``history``."""
    from alembic.config import CommandLine, Config
    from alembic.util import CommandError

    line = CommandLine(prog="pattern-scoring migrate")
    options = line.parser.parse_args(list(arguments) or list(_UPGRADE))
    if not hasattr(options, "cmd"):
        line.parser.error("too few arguments")
    config = Config(cmd_opts=options)
    config.set_main_option("script_location", str(scripts()))
    try:
        line.run_cmd(config, options)
    except CommandError as error:
        print(f"pattern-scoring migrate: {error}", file=sys.stderr)
        return 1
    except SystemExit as ended:
        return int(bool(ended.code))  # Alembic's own errors: -1
    return 0


def scripts() -> Path:
    """The folder of the migrations: in the package, or beside it in a clone."""
    spec = find_spec("db_functions.migrations")
    packaged = spec.submodule_search_locations or [] if spec else []
    for place in [*map(Path, packaged), _CLONE]:
        if (place / "env.py").exists():
            return place
    raise ScoringError("this installation has no migrations: install the wheel again, or run it from a clone")
