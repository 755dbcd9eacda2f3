"""``python -m db_functions.trial VERSION``: a child process loads a model from stdin, for the first time."""

from __future__ import annotations

import hashlib
import resource
import sys

from db_functions.cage import TRIAL_MEMORY, TRIAL_S, limit_memory, read_trial
from db_functions.errors import ScoringError
from db_functions.model import load, try_plain_rows, verify


def main() -> int:
    """0 when the model loads and answers its golden rows, or plain ones; else 1, the reason last on stderr."""
    limit_memory(TRIAL_MEMORY)
    resource.setrlimit(resource.RLIMIT_CPU, (int(TRIAL_S), int(TRIAL_S)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data, golden = read_trial(sys.stdin.buffer.read())
    try:
        model = load(0, sys.argv[1], data, hashlib.sha256(data).hexdigest(), golden)
        if verify(model) is None:
            try_plain_rows(model)
    except ScoringError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
