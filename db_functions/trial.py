"""``python -m db_functions.trial``: a child process loads a model from stdin, for the first time."""

from __future__ import annotations

import hashlib
import sys

from db_functions.errors import ScoringError
from db_functions.model import load, run_plain_rows, verify
from db_functions.sandbox import limit_child, read_trial


def main() -> int:
    """0 when the model loads and answers its golden rows, or plain ones; else 1, with the reason last on stderr."""
    limit_child()
    stream = sys.stdin.buffer.read()
    if not stream:
        return 0  # it was started ahead of a trial that never came
    version, data, golden = read_trial(stream)
    try:
        model = load(0, version, data, hashlib.sha256(data).hexdigest(), golden)
        if verify(model) is None:
            run_plain_rows(model)
    except ScoringError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
