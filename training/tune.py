"""Searching for the learners' parameters: drawn from declared spaces, judged on folds in time, kept line by line.

Each learner is searched for by itself. Its candidates are what it would be without a search, then as many as asked for
from its space in ``regressors.SPACES``, in an order that the seed decides; asking for more goes on in the same order.
They are judged by the log loss of first passage with the learner's own correction to it (``learners``), on the later
rows of each fold, fitted on the rows whose horizons had all ended before it (``split.tuning_folds``: none of the rows
that judge the candidates or test).

**What is chosen.** The lowest mean over the folds among those that beat the learner as it was by more than one standard
error of their differences, fold by fold; if none does, it stays as it was. The rule is the one-standard-error rule of
Breiman et al., *Classification and Regression Trees* (1984), with the difference paired, since folds differ from one
another far more than candidates do. Of twenty candidates one is always lucky; on few folds of noisy rows luck is most
of what the best shows.

Each candidate's losses are appended to a file as they are known. The same command goes on from there, to the same
choice: losses are kept to the last bit. A file of other rows, learners, seed or libraries is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.model_selection import ParameterGrid

from db_functions.progress import say
from training import learners, regressors
from training.correction import Rows
from training.dataset import Dataset
from training.errors import StaleSearch, TooFewRows
from training.estimation import fit_ensemble
from training.learners import Recipe
from training.regressors import Parameters
from training.split import Fold

FEWEST_TO_FIT: Final = 60
FEWEST_LATER: Final = 20
FORMAT: Final = 1
"""Of the file; another number makes older files stale."""
_LIBRARIES: Final = ("numpy", "scipy", "scikit-learn", "xgboost", "xgboost-cpu", "lightgbm")


@dataclass(frozen=True, slots=True)
class Search:
    """How many candidates each learner gets beside what it is already, and the file that keeps what was found."""

    candidates: int
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate of a learner: its arguments, and its log loss on each fold."""

    parameters: dict[str, Any]
    losses: tuple[float, ...]

    def against(self, other: Tried) -> tuple[float, float]:
        """The mean over the folds of the difference from ``other``, and its standard error."""
        differences = np.subtract(self.losses, other.losses)
        return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


@dataclass(frozen=True, slots=True)
class Found:
    """What became of every candidate of each learner, the learner as it was first, and what was chosen."""

    tried: Mapping[str, Sequence[Tried]]
    folds: tuple[Fold, ...]

    def chosen(self, learner: str) -> Tried:
        """What the rule above chooses."""
        asis, *others = self.tried[learner]
        better = [one for one in others if sum(one.against(asis)) < 0]
        return min(better, key=lambda one: np.mean(one.losses), default=asis)

    def parameters(self, given: Parameters) -> Parameters:
        """``given``, with what was chosen where that is something else; a learner left as it was is not named anew."""
        changed = {}
        for name, (asis, *_) in self.tried.items():
            best = self.chosen(name).parameters
            changed[name] = {key: value for key, value in best.items() if value != asis.parameters[key]}
        return {
            name: both for name in {**given, **changed} if (both := {**given.get(name, {}), **changed.get(name, {})})
        }

    def to_dict(self) -> dict[str, Any]:
        """The whole table, for ``ml.models``."""
        return {
            "metric": "log_loss",
            "folds": [{"fit": len(f.fit), "later": len(f.later), "from": f.boundary} for f in self.folds],
            "learners": {
                name: {
                    "before": tried[0].parameters,
                    "chosen": self.chosen(name).parameters,
                    "candidates": [_entry(one, tried[0]) for one in tried],
                }
                for name, tried in self.tried.items()
            },
        }


def search(
    dataset: Dataset,
    rows: Rows,
    folds: tuple[Fold, ...],
    recipe: Recipe,
    wanted: Search,
    *,
    progress: bool = False,
) -> Found:
    """Try every candidate of the recipe's learners on ``folds``, or take from the file what was tried before.

    Raises TooFewRows when a fold has too few, StaleSearch when the file is of another search.
    """
    _require_enough(dataset, folds)
    plan = {name: candidates(name, recipe, wanted.candidates) for name in recipe.models}
    journal = _Journal(wanted.file, _key(dataset, rows.features, folds, recipe))
    known = journal.read()
    waiting = [(name, one) for name in plan for one in plan[name] if _at(name, one) not in known]
    teller = _Teller(progress, len(waiting))
    tried: dict[str, list[Tried]] = {name: [] for name in plan}
    # One after the other, or side by side where joblib is configured so (``parallel``); in this order either way.
    found = Parallel(return_as="generator")(
        delayed(_losses)(rows.features, rows.outcome, rows.weight, folds, recipe, name, one) for name, one in waiting
    )
    for name, each in plan.items():
        for one in each:
            losses = known.get(_at(name, one))
            fresh = losses is None
            if losses is None:
                losses = next(found)
                journal.append(name, one, losses)
            tried[name].append(Tried(one, losses))
            teller(name, tried[name], len(each), fresh=fresh)
    return Found(tried, folds)


def candidates(name: str, recipe: Recipe, count: int) -> list[dict[str, Any]]:
    """A learner as the recipe has it, then ``count`` others from its space, or all there are."""
    space = regressors.SPACES[name]
    given = learners.defaults(name) | dict(recipe.parameters.get(name, {}))
    asis = {key: given[key] for key in space}
    # The whole space, shuffled: a larger count begins with the same ones (ParameterSampler's would not).
    grid = list(ParameterGrid({key: list(values) for key, values in space.items()}))
    drawn = [{key: grid[at][key] for key in space} for at in np.random.default_rng(recipe.seed).permutation(len(grid))]
    return [asis, *[one for one in drawn if one != asis][:count]]


def _losses(
    features: NDArray[np.floating[Any]],
    outcome: NDArray[np.int8],
    weight: float,
    folds: Sequence[Fold],
    recipe: Recipe,
    name: str,
    one: dict[str, Any],
) -> tuple[float, ...]:
    """The log loss of a candidate on each fold. Arrays are arguments of their own, so that they are sent once."""
    parameters = {name: {**recipe.parameters.get(name, {}), **one}}
    alone = replace(recipe, models=(name,), parameters=parameters)
    return tuple(_loss(Rows(features, outcome, weight), fold, alone) for fold in folds)


def _loss(rows: Rows, fold: Fold, recipe: Recipe) -> float:
    """Log loss on the fold's later rows of first passage plus what the learner says, unshrunk."""
    fitted = fit_ensemble(rows.take(fold.fit), recipe)
    later = rows.take(fold.later)
    z = later.offset + fitted.correction(later.features)
    return float(np.mean(np.logaddexp(0, z) - later.hit * z))


def _require_enough(dataset: Dataset, folds: Sequence[Fold]) -> None:
    for number, fold in enumerate(folds, 1):
        fit, later = len(fold.fit), len(fold.later)
        if fit < FEWEST_TO_FIT or later < FEWEST_LATER or len(np.unique(dataset.outcome[fold.fit])) < 2:
            raise TooFewRows(
                f"fold {number} to tune on has {fit} rows to fit of at least {FEWEST_TO_FIT}, of two classes, and "
                f"{later} later ones of at least {FEWEST_LATER}; label more outcomes, or train without --tune"
            )


def _entry(one: Tried, asis: Tried) -> dict[str, Any]:
    difference, error = one.against(asis)
    return {
        "parameters": one.parameters,
        "losses": list(one.losses),
        "mean": float(np.mean(one.losses)),
        "spread": float(np.std(one.losses, ddof=1)),
        "difference": difference,
        "standard_error": error,
    }


def _at(name: str, parameters: Mapping[str, Any]) -> str:
    return json.dumps([name, parameters], sort_keys=True)


def _key(dataset: Dataset, features: NDArray[Any], folds: Sequence[Fold], recipe: Recipe) -> dict[str, str]:
    """All that losses depend on but the learner and its candidate, each part hashed by itself so as to be named."""
    rows: list[NDArray[Any]] = [dataset.detected_at, dataset.horizon_at, dataset.outcome, features]
    rows += [part for fold in folds for part in (fold.fit, fold.later)]
    given = {"seed": recipe.seed, "size": recipe.size, "given": recipe.parameters}
    return {
        "format": str(FORMAT),
        "rows": _sha256(*rows),
        "seed and parameters": _sha256(json.dumps(given, sort_keys=True, default=dict).encode()),
        "learners": _sha256(Path(learners.__file__).read_bytes()),
        "libraries": json.dumps({name: found for name in _LIBRARIES if (found := _installed(name))}),
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _sha256(*parts: NDArray[Any] | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


class _Journal:
    """The file: a line that says which search it is of, then a line for each candidate tried."""

    def __init__(self, file: Path | None, key: dict[str, str]) -> None:
        self._file = file
        self._key = key

    def read(self) -> dict[str, tuple[float, ...]]:
        """What was tried before. Raises StaleSearch for a file of another search, and begins one that is not there."""
        if self._file is None:
            return {}
        lines = self._file.read_bytes().splitlines(keepends=True) if self._file.exists() else []
        # A line without its end was cut short by whatever ended that run.
        whole = [line for line in lines if line.endswith(b"\n")]
        if not whole:
            if lines and not _line(self._key).startswith(lines[0]):
                raise StaleSearch(f"{self._file} is no record of a search; remove it or name another file")
            self._file.write_bytes(b"")
            self._write(self._key)
            return {}
        try:
            header, *entries = map(json.loads, whole)
            known = {_at(entry["learner"], entry["parameters"]): tuple(entry["losses"]) for entry in entries}
            differs = [part for part, value in self._key.items() if header.get(part) != value]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StaleSearch(f"{self._file} is no record of a search; remove it or name another file") from error
        if differs:
            raise StaleSearch(
                f"{self._file} is of a search with other {', '.join(differs)}; remove it or name another file with "
                "--tune-file (rows stay the same under --until)"
            )
        if len(whole) < len(lines):
            os.truncate(self._file, sum(map(len, whole)))
        return known

    def append(self, learner: str, parameters: Mapping[str, Any], losses: Sequence[float]) -> None:
        """Keep one candidate's losses, on disk when this returns."""
        if self._file is not None:
            self._write({"learner": learner, "parameters": parameters, "losses": losses})

    def _write(self, entry: Mapping[str, Any]) -> None:
        assert self._file is not None
        with self._file.open("ab") as out:
            out.write(_line(entry))
            out.flush()
            os.fsync(out.fileno())


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


class _Teller:
    """One line for each candidate tried: what, its losses, the best so far, the time that is left."""

    def __init__(self, shown: bool, waiting: int) -> None:
        self._shown = shown
        self._waiting = waiting
        self._done = 0
        self._began = time.monotonic()

    def __call__(self, name: str, tried: Sequence[Tried], of: int, *, fresh: bool) -> None:
        if not self._shown:
            return
        self._done += fresh
        last = tried[-1]
        best = min(float(np.mean(one.losses)) for one in tried)
        each = (time.monotonic() - self._began) / max(1, self._done)
        left = f"{each * (self._waiting - self._done):.0f} s left" if fresh else "known before"
        say(
            f"tune {name} {len(tried)}/{of}  log loss {np.mean(last.losses):.4f} "
            f"({' '.join(f'{loss:.4f}' for loss in last.losses)})  best {best:.4f}  {left}  "
            f"{', '.join(f'{key} {value}' for key, value in last.parameters.items())}"
        )
