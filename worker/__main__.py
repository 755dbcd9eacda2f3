"""``python -m worker``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from db_functions.children import prepare_trial


def main(arguments: Sequence[str] | None = None) -> int:
    """As :func:`worker.cli.main`; a worker's model is tried in a child that starts while this process imports."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        prepare_trial()
    from worker.cli import main as run

    return run(given)


if __name__ == "__main__":
    sys.exit(main())
