"""Write evidently's own answers for counts that are hard to agree on, into psi.json beside this file.

evidently needs pandas below 3 and much else, so it is no dependency of the tests: they compare with what is recorded.

    python -m venv /tmp/evidently && /tmp/evidently/bin/pip install -r tests/evidently/requirements.txt
    /tmp/evidently/bin/python tests/evidently/record.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

OUT = Path(__file__).parent / "psi.json"


def cases() -> dict[str, tuple[list[int], list[int]]]:
    """Counts of the baseline and of live rows in the same cells, by name."""
    rng = np.random.default_rng(9)
    deciles = [500] * 10 + [0, 0]
    made = {
        "no drift": (deciles, [*rng.multinomial(300, [0.1] * 10).tolist(), 0, 0]),
        "a shift": (deciles, [40, 44, 61, 70, 79, 101, 112, 138, 150, 205, 0, 0]),
        "an empty live cell": (deciles, [0, 30, 33, 27, 35, 25, 30, 40, 40, 40, 0, 0]),
        "an empty baseline cell": (deciles, [30] * 10 + [12, 3]),
        "empty on either side": ([900, 90, 10, 0, 0], [0, 40, 150, 10, 0]),
        "rare in the baseline": ([19_998, 1, 1, 0, 0, 0], [180, 5, 0, 15, 0, 0]),
        "rare live": ([100, 100, 50, 0], [29_998, 0, 1, 1]),
        "rare on both sides": ([30_000, 1, 0, 4, 0], [50_000, 0, 1, 3, 0]),
        "smallest share exactly 1e-4": ([9_999, 1, 0, 0], [9_000, 0, 1_000, 0]),
        "everything missing": (deciles, [0] * 10 + [250, 0]),
        "nothing in common": ([120, 80, 0, 0], [0, 0, 60, 40]),
        "one cell": ([500, 0, 0], [300, 0, 0]),
    }
    for number in range(8):
        width = int(rng.integers(3, 40))
        shares = rng.dirichlet([0.3] * width)
        made[f"drawn {number}"] = (
            rng.multinomial(int(rng.integers(500, 20_000)), shares).tolist(),
            rng.multinomial(int(rng.integers(50, 5_000)), rng.dirichlet(shares * 20 + 1e-3)).tolist(),
        )
    return made


def labels(counts: list[int]) -> list[str]:
    return [f"cell {cell}" for cell, count in enumerate(counts) for _ in range(count)]


def psi(baseline: list[int], live: list[int]) -> float:
    definition = DataDefinition(categorical_columns=["value"])
    reference, current = (
        Dataset.from_pandas(pd.DataFrame({"value": labels(counts)}), data_definition=definition)
        for counts in (baseline, live)
    )
    result: Any = Report([ValueDrift(column="value", method="psi")]).run(current, reference).dict()
    return float(result["metrics"][0]["value"])


if __name__ == "__main__":
    answers = [{"name": n, "baseline": b, "live": live, "psi": psi(b, live)} for n, (b, live) in cases().items()]
    OUT.write_text(json.dumps(answers, indent=1).replace("\n   ", " ").replace("\n  ]", " ]") + "\n")
    print(f"{OUT.name}: {len(answers)} answers of evidently {__import__('evidently').__version__}")
