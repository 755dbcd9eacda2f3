"""Searching for parameters: on folds that see no future, resumable to the bit, never a worse choice than none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from db_functions.database import Connection
from tests.support import at, insert_labelled
from tests.training_support import SMALL, dataset, small_dataset, small_rows
from training import cli, learners, regressors, tune
from training.correction import NEITHER, STOP, TARGET, USED, Rows
from training.dataset import Dataset
from training.errors import StaleSearch, TooFewRows
from training.features import FEATURE_NAMES
from training.learners import Recipe
from training.pipeline import Artifact, train
from training.retrain import champion_parameters
from training.split import split_by_time, tuning_folds
from training.tune import Found, Search, Tried, candidates, search

MODELS = ("logistic", "gradient_boosting")
ROWS = 1_200


@cache
def strong_dataset() -> Dataset:
    """Rows with something to find, where some parameters are surely better than others."""
    return dataset(strength=4.0)


def _trained(file: Path | None) -> Artifact:
    # A learner of one thread: those of histogram boosting wait for one another where others want the cores.
    return train(strong_dataset(), ["exact_boosting"], candidate="ensemble", seed=3, size=SMALL, search=Search(3, file))


def _rows(columns: NDArray[np.float64], outcome: NDArray[np.int8]) -> Rows:
    """The shared rows' first passage, and ``columns`` as the first of the features that learners see."""
    features = np.zeros((len(outcome), len(FEATURE_NAMES)))
    features[:, np.flatnonzero(USED)[: columns.shape[1]]] = columns
    own = [TARGET, STOP, NEITHER]
    features[:, own] = small_rows().features[: len(features), own]
    return Rows(features, outcome, 1.0)


@cache
def _whole() -> Artifact:
    """Never interrupted."""
    return _trained(None)


def _found(file: Path | None, *, data: Dataset | None = None, count: int = 2, **recipe: Any) -> Found:
    """A search over noise: what is searched does not matter where the file does."""
    data = data or small_dataset()
    rows = _rows(np.random.default_rng(5).normal(size=(len(data), 4)), data.outcome)
    folds = tuning_folds(data, split_by_time(data))
    return search(data, rows, folds, Recipe(("logistic",), **recipe), Search(count, file))


def test_folds_see_neither_their_future_nor_what_judges_or_tests() -> None:
    data = small_dataset()
    split = split_by_time(data)
    folds = tuning_folds(data, split)
    assert len(folds) == 4
    for fold in folds:
        assert len(fold.fit) > 0
        assert len(fold.later) > 0
        assert data.horizon_at[fold.fit].max() < data.detected_at[fold.later].min() - split.embargo_s
        # Nor does a row to choose by reach what judges.
        assert data.horizon_at[fold.later].max() < data.detected_at[split.judged].min()
    seen = {int(row) for fold in folds for part in (fold.fit, fold.later) for row in part}
    assert seen <= set(split.folds[0].fit.tolist())
    assert not seen & set(split.judged.tolist())
    assert not seen & set(split.test.tolist())


def test_every_learner_has_a_space_about_its_defaults() -> None:
    assert set(regressors.SPACES) == set(regressors.LEARNERS)
    for name, space in regressors.SPACES.items():
        drawn = candidates(name, Recipe((name,)), 10_000)
        assert drawn[0] == {key: learners.defaults(name)[key] for key in space}
        assert drawn[0] not in drawn[1:]
        assert len({json.dumps(one, sort_keys=True) for one in drawn}) == len(drawn)
        for one in drawn[1:]:
            assert all(one[key] in values for key, values in space.items())


def test_more_candidates_begin_with_the_same_ones_and_the_seed_decides() -> None:
    few, many = (candidates("gradient_boosting", Recipe(MODELS, seed=4), count) for count in (5, 20))
    assert (len(few), len(many)) == (6, 21)
    assert many[:6] == few
    assert candidates("gradient_boosting", Recipe(MODELS, seed=5), 5) != few


def test_given_parameters_are_what_a_search_begins_from() -> None:
    given = {"gradient_boosting": {"leaves": 8}}
    first, *_ = candidates("gradient_boosting", Recipe(MODELS, parameters=given), 3)
    assert (first["leaves"], first["rate"]) == (8, 0.02)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tuning.jsonl"
    # Within the third candidate of four, each on four folds.
    with monkeypatch.context() as patched:
        patched.setattr(tune, "_loss", _Counted(10))
        with pytest.raises(KeyboardInterrupt):
            _trained(file)
    assert len(file.read_bytes().splitlines()) == 1 + 2
    with monkeypatch.context() as patched:
        counted = _Counted()
        patched.setattr(tune, "_loss", counted)
        resumed = _trained(file)
    assert counted.calls == 4 * 2
    assert resumed.metrics["tuning"] == _whole().metrics["tuning"]
    assert resumed.metrics["parameters"] != {}
    assert resumed.onnx == _whole().onnx


@pytest.mark.parametrize("calls", [0, 1, 4, 11])
def test_wherever_it_stops_the_file_ends_as_if_it_had_not(
    calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, file = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    found = _found(whole)
    with monkeypatch.context() as patched:
        patched.setattr(tune, "_loss", _Counted(calls))
        with pytest.raises(KeyboardInterrupt):
            _found(file)
    assert _found(file).to_dict() == found.to_dict()
    assert file.read_bytes() == whole.read_bytes()


class _Counted:
    """The real losses, until ``limit`` of them are made."""

    def __init__(self, limit: int | None = None) -> None:
        self._real = tune._loss
        self._limit = limit
        self.calls = 0

    def __call__(self, *arguments: Any) -> float:
        if self.calls == self._limit:
            raise KeyboardInterrupt
        self.calls += 1
        return self._real(*arguments)


@pytest.mark.parametrize("cut", [1, 30, 70])
def test_a_line_cut_short_by_a_crash_is_tried_again(cut: int, tmp_path: Path) -> None:
    file = tmp_path / "tuning.jsonl"
    found = _found(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert _found(file).tried == found.tried
    assert file.read_bytes() == whole
    # And one cut within its first line.
    file.write_bytes(whole[:40])
    assert _found(file).tried == found.tried
    assert file.read_bytes() == whole


def test_a_file_of_another_search_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "tuning.jsonl"
    _found(file)
    before = file.read_bytes()
    other = small_dataset()
    other = replace(other, outcome=np.roll(other.outcome, 1))
    changes: list[tuple[str, dict[str, Any]]] = [
        ("rows", {"data": other}),
        ("seed and parameters", {"seed": 9}),
        ("seed and parameters", {"parameters": {"logistic": {"strength": 0.5}}}),
    ]
    for differs, change in changes:
        with pytest.raises(StaleSearch, match=f"tuning.jsonl is of a search with other {differs}; remove it"):
            _found(file, **change)
    assert file.read_bytes() == before
    header, *rest = before.splitlines(keepends=True)
    older = json.loads(header) | {"libraries": "older"}
    file.write_bytes(b"".join([json.dumps(older).encode() + b"\n", *rest]))
    with pytest.raises(StaleSearch, match="other libraries"):
        _found(file)


@pytest.mark.parametrize("content", [b"no JSON", b"no JSON\n", b"[1]\n", b'{"a": 1}\n{"b": 2}\n'])
def test_a_file_that_is_something_else_is_left_alone(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(StaleSearch, match=r"notes\.txt is no record of a search"):
        _found(file)
    assert file.read_bytes() == content


def test_more_candidates_go_on_from_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "tuning.jsonl"
    few = _found(file, count=2)
    assert _found(file, count=4).tried["logistic"][:3] == few.tried["logistic"]
    assert _found(None, count=4).tried == _found(file, count=4).tried


def _tried(*losses: tuple[float, ...]) -> Found:
    one = [Tried({"strength": float(number)}, each) for number, each in enumerate(losses)]
    return Found({"logistic": one}, ())


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ([(1.0, 1.2), (1.0, 1.2)], 0),  # a tie
        ([(1.0, 1.2), (0.9, 1.29)], 0),  # lower, by less than a standard error
        ([(1.0, 1.2), (1.1, 1.3)], 0),
        ([(1.0, 1.2), (0.9, 1.1)], 1),
        ([(1.0, 1.2), (0.99, 1.19), (0.9, 1.1), (0.7, 1.38)], 2),  # the lowest mean that is sure
        ([(1.0, 1.2), (0.9, 1.1), (0.9, 1.1)], 1),  # the first of equals
    ],
)
def test_what_is_not_surely_better_is_not_chosen(losses: list[tuple[float, ...]], chosen: int) -> None:
    found = _tried(*losses)
    assert found.chosen("logistic").parameters["strength"] == chosen
    assert found.parameters({}) == ({"logistic": {"strength": float(chosen)}} if chosen else {})
    assert found.parameters({"extra_trees": {"depth": 3}})["extra_trees"] == {"depth": 3}


def _planted(strength: float) -> tuple[Dataset, Rows]:
    """Rows whose outcome is that of first passage, moved by a sum of twenty features, or (0) by nothing."""
    rng = np.random.default_rng(11)
    columns = rng.normal(size=(ROWS, 20))
    pull = small_rows().offset + strength * columns.sum(axis=1) + rng.logistic(size=ROWS)
    outcome = np.where(pull > 0, 2, 0).astype(np.int8)
    return replace(small_dataset(), outcome=outcome), _rows(columns, outcome)


def test_a_parameter_that_matters_is_found_and_without_a_signal_none_is() -> None:
    chosen = {}
    for strength in (0.3, 0.0):
        data, rows = _planted(strength)
        folds = tuning_folds(data, split_by_time(data))
        found = search(data, rows, folds, Recipe(("logistic",), seed=1), Search(8))
        chosen[strength] = found.chosen("logistic").parameters["strength"]
        assert len(found.tried["logistic"]) == 9
    # The default, 0.001, holds twenty weights of one at a twentieth of that.
    assert chosen[0.3] >= 0.003
    assert chosen[0.0] <= 0.001


def test_what_was_tried_and_chosen_is_registered_and_on_the_card() -> None:
    metrics, card = _whole().metrics, re.sub(" +", " ", _whole().model_card)
    json.dumps(metrics, allow_nan=False)
    table = metrics["tuning"]["learners"]["exact_boosting"]
    assert [len(one["losses"]) for one in table["candidates"]] == [4] * 4
    assert table["chosen"] != table["before"] == table["candidates"][0]["parameters"]
    assert metrics["parameters"] == {
        "exact_boosting": {key: value for key, value in table["chosen"].items() if value != table["before"][key]}
    }
    assert "## Tuning\n\n4 candidates" in card
    assert "exact_boosting: " in card
    (line,) = [line for line in card.splitlines() if line.endswith("| chosen |")]
    assert all(f"{key} {value}" in line for key, value in table["chosen"].items())


def test_too_few_rows_to_tune_on_are_said_to_be() -> None:
    with pytest.raises(TooFewRows, match=r"fold 1 to tune on has \d+ rows to fit of at least 60"):
        _found(None, data=small_dataset().take(slice(0, 500)))


def test_each_candidate_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    data, rows = _planted(1.0)
    folds = tuning_folds(data, split_by_time(data))
    search(data, rows, folds, Recipe(("logistic",)), Search(2), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"tune logistic {number}/3" for number in (1, 2, 3)]
    for line in lines:
        for word in ("log loss 0.", "best 0.", " s left", "strength"):
            assert word in line


def test_the_command_line_tunes_and_a_retrained_model_keeps_what_was_chosen(
    connection: Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.chdir(tmp_path)
    insert_labelled(connection)
    # There are too few rows here for real losses, so a weaker hold is better by decree.
    monkeypatch.setattr(tune, "FEWEST_TO_FIT", 1)
    monkeypatch.setattr(tune, "FEWEST_LATER", 1)
    common = ["--models", "logistic", "--quiet"]
    command = ["train", *common, "--until", at(700).date().isoformat(), "--version", "first", "--tune", "8"]
    monkeypatch.setattr(tune, "_loss", _decreed([0.0] * 10))
    assert cli.main(command) == 130
    assert "continues the search" in capsys.readouterr().err
    monkeypatch.setattr(tune, "_loss", _decreed([0.0] * 28))
    assert cli.main([*command, "--promote"]) == 0
    assert len(Path("tuning.jsonl").read_bytes().splitlines()) == 10
    metrics = "select metrics -> 'parameters', metrics -> 'tuning' from ml.models where version = %s"
    row = connection.execute(metrics, ["first"]).fetchone()
    assert row is not None
    assert row[0] == {"logistic": {"strength": 0.1}}
    assert len(row[1]["learners"]["logistic"]["candidates"]) == 9
    assert cli.main(["retrain", *common, "--version", "second", "--min-new", "30"]) == 0
    assert connection.execute(metrics, ["second"]).fetchone() == (row[0], None)
    # And a learner that the champion does not have is as by default.
    assert champion_parameters(connection, ["extra_trees"]) == {}


def _decreed(calls: list[float]) -> Callable[..., float]:
    """A loss that is least at a strength of 0.1, for so many calls."""

    def loss(*arguments: Any) -> float:
        if not calls:
            raise KeyboardInterrupt
        calls.pop()
        strength = arguments[-1].parameters["logistic"]["strength"]
        return abs(float(np.log10(strength)) + 1)

    return loss


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_count_below_one_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["train", "--tune", wrong])
    assert "of at least 1" in capsys.readouterr().err
