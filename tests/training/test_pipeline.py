"""From a dataset to an artifact, and what the command line says when it cannot."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db_functions import progress
from db_functions.contract import CONTRACT_VERSION, PARITY_TOLERANCE
from db_functions.golden import Golden
from db_functions.progress import Stages, bar
from tests.training_support import SMALL, small_artifact, small_dataset, small_export
from training import check, cli, learners
from training.calibrate import IDENTITY
from training.cli import train as train_commands
from training.cli.summary import summarise
from training.errors import LearnerNotInstalled, TooFewRows, UnknownLearner
from training.evaluate import Verdict
from training.export import FittedModel
from training.features import FEATURE_NAMES, MIN_BARS
from training.pipeline import permutation_importances, require_enough, train
from training.scores import METRICS
from training.split import split_by_time
from training.verify import GOLDEN_ROWS, check_parity


def test_the_artifact_is_whole() -> None:
    artifact = small_artifact()
    assert artifact.version.startswith("ensemble-")
    assert artifact.algorithm == "ensemble"
    assert artifact.contract_version == CONTRACT_VERSION
    assert (artifact.feature_names, artifact.min_bars) == (list(FEATURE_NAMES), MIN_BARS)
    assert set(artifact.outputs) == {"ml_confidence", "probabilities", "features"}
    assert artifact.parity.max_abs_diff <= PARITY_TOLERANCE
    assert artifact.parity.rows == len(small_dataset())
    assert set(artifact.drift_baseline["features"]) == set(FEATURE_NAMES)
    for part in (artifact.metrics, artifact.drift_baseline, artifact.toolchain, artifact.parity.to_dict()):
        json.dumps(part, allow_nan=False)


def test_its_golden_rows_replay() -> None:
    golden = Golden.from_bytes(small_artifact().golden)
    assert len(golden) == GOLDEN_ROWS
    assert check_parity(small_artifact().onnx, golden).rows == GOLDEN_ROWS


def test_the_metrics_are_those_of_rows_not_fitted_on() -> None:
    split = split_by_time(small_dataset())
    assert small_artifact().metrics["rows"] == len(split.test)
    assert small_artifact().metrics["base_rate"] == pytest.approx(small_dataset().positive[split.test].mean())


def test_the_model_finds_what_the_outcomes_were_made_of() -> None:
    assert small_artifact().metrics["ml"]["roc_auc"]["low"] > 0.55


def test_a_real_signal_beats_the_base_rate() -> None:
    metrics = small_artifact().metrics
    assert metrics["ml_minus_base"]["brier"]["high"] < 0
    assert "better than the base rate" in small_artifact().card


def test_outcomes_that_nothing_explains_are_answered_by_the_base_rate() -> None:
    """Whatever the ensemble makes of its own rows: on others it shows no skill, and must not pretend to."""
    data = small_dataset()
    shuffled = replace(data, outcome=np.random.default_rng(4).permutation(data.outcome))
    split = split_by_time(shuffled)
    artifact = train(shuffled, seed=3, size=0.2)
    metrics, known = artifact.metrics, shuffled.positive[split.fit].mean()
    for entry in metrics["reliability"]:
        assert abs(entry["predicted"] - known) < 0.05
    assert metrics["ml_minus_base"]["brier"]["value"] < 0.002
    assert metrics["ml_minus_base"]["brier"]["low"] <= 0


def _unpadded(card: str) -> str:
    return re.sub(" +", " ", card)


def test_the_card_says_what_a_person_must_know() -> None:
    card = _unpadded(small_artifact().card)
    for expected in (
        f"# Model `{small_artifact().version}`",
        "random_forest, logistic, gradient_boosting",
        "1,200 labelled patterns, 2011-03-1",
        "rows were purged",
        "| Brier score |",
        "| ML confidence - rule |",
        "| base rate |",
        "## Calibration",
        "| double_top |",
        "Rise of the model's Brier score",
        "## Intended use and limits",
        "| scikit-learn |",
    ):
        assert expected in card


def test_other_strengths_reach_the_learners_and_the_card() -> None:
    changed = train(
        small_dataset(), ["gradient_boosting"], parameters={"gradient_boosting": {"leaves": 8}}, seed=3, size=SMALL
    )
    plain = train(small_dataset(), ["gradient_boosting"], seed=3, size=SMALL)
    assert changed.sha256 != plain.sha256
    assert "gradient_boosting: leaves 8" in changed.card
    assert "leaves" not in plain.card


def test_a_pattern_type_cannot_break_the_card() -> None:
    data = small_dataset().take(slice(0, 900))
    kinds = np.full(len(data), "a|b\n# c", dtype=object)
    changed = replace(data, inputs={**data.inputs, "pattern_type": kinds})
    card = _unpadded(train(changed, ["logistic"], seed=1, size=SMALL).card)
    assert "| a\\|b # c |" in card


def test_importances_find_the_feature_that_matters() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, len(FEATURE_NAMES)))
    positive = features[:, 7] + rng.normal(size=600) > 0
    ensemble = learners.fit_ensemble(features, np.where(positive, 2, 0).astype(np.int8), ["logistic"], seed=0)
    model = FittedModel(ensemble, IDENTITY)
    found = permutation_importances(model, features, positive, seed=1)
    assert max(found, key=lambda name: found[name]) == FEATURE_NAMES[7]


def test_the_importances_of_all_features_are_registered() -> None:
    rises = small_artifact().metrics["importances"]
    assert tuple(rises) == FEATURE_NAMES
    best = max(rises, key=lambda name: rises[name])
    assert f"| {best} | {rises[best]:+.5f} |" in _unpadded(small_artifact().card)


def test_too_few_rows_says_how_many_are_needed() -> None:
    data = small_dataset().take(slice(0, 150))
    with pytest.raises(TooFewRows, match=r"150 labelled rows \(\d+ negative.*fit has \d+ rows of at least 200"):
        train(data)


def test_no_rows_at_all_are_too_few() -> None:
    with pytest.raises(TooFewRows, match="0 labelled rows"):
        train(small_dataset().take(slice(0, 0)))


def test_too_few_of_a_class_are_too_few() -> None:
    data = small_dataset()
    never = replace(data, outcome=np.zeros(len(data), np.int8))
    with pytest.raises(TooFewRows, match="0 positive"):
        require_enough(never, split_by_time(never))
    require_enough(data, split_by_time(data))


def test_an_unknown_learner_is_refused_before_any_work() -> None:
    with pytest.raises(UnknownLearner, match="oracle"):
        train(small_dataset().take(slice(0, 0)), ["oracle"])


def test_the_command_line_names_every_learner() -> None:
    assert tuple(learners.LEARNERS) == train_commands.LEARNER_NAMES
    assert learners.DEFAULT == train_commands.DEFAULT_LEARNERS


def test_check_says_what_is_wrong_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    good.write_bytes(small_export().onnx)
    bad.write_bytes(b"no model")
    assert cli.main(["check", str(good)]) == 0
    assert "keeps the scoring contract" in capsys.readouterr().out
    assert cli.main(["check", str(bad)]) == 1
    assert "is not an ONNX model" in capsys.readouterr().out


def test_check_says_nothing_of_the_tensors_of_a_file_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "none.onnx"
    assert cli.main(["check", str(file)]) == 1
    printed = capsys.readouterr().out
    assert [line.startswith(f"{file}: ") for line in printed.splitlines()] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "spring 1"], "argument --version: 'spring 1'"),
        (["--version", ""], "argument --version: ''"),
        (["--seed", "-1"], "argument --seed: -1 is below 0"),
        (["--seed", "4294967296"], "argument --seed: 4294967296 is above 4294967295"),
    ],
)
def test_what_no_training_could_use_is_wrong_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("train", "retrain"):
        with pytest.raises(SystemExit, match="2"):
            cli.main([command, *arguments])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("path", "said"), [("", "it is a directory"), ("none/x", "there is no directory")])
@pytest.mark.parametrize("command", [["train"], ["report", "first"]])
def test_an_output_that_could_not_be_written_is_refused_before_any_work(
    path: str,
    said: str,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A database that is not there would be complained of, had it been asked.
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert cli.main([*command, "--output", str(tmp_path / path)]) == 1
    assert f"cannot be written: {said}" in capsys.readouterr().err


def test_a_library_that_is_missing_is_missed_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(LearnerNotInstalled, match=r"pip install 'pattern-scoring\[xgboost\]'"):
        train(small_dataset().take(slice(0, 0)), ["random_forest", "xgboost"])


def test_a_file_of_a_search_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train_commands, "load", lambda _: small_dataset())
    file = tmp_path / "none" / "tuning.jsonl"
    command = ["train", "--models", "logistic", "--quiet", "--tune", "1", "--tune-file", str(file)]
    assert cli.main(command) == 1
    assert capsys.readouterr().err == f"error: {file}: No such file or directory\n"


def test_an_interruption_says_of_a_registration_only_where_there_would_be_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_commands, "load", interrupted)
    monkeypatch.setattr(check, "read_checked", interrupted)
    said = []
    for command in (["train"], ["check", "x.onnx"]):
        assert cli.main(command) == 130
        said.append(capsys.readouterr().err)
    assert said[0].startswith("interrupted: nothing was registered")
    assert said[1] == "interrupted\n"


def test_an_unreachable_database_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert cli.main(["list"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: cannot connect to the database")
    assert "Traceback" not in error


def test_times_without_an_offset_are_utc() -> None:
    options = cli.parser().parse_args(["train", "--since", "2012-01-31", "--until", "2013-01-31T12:00+02:00"])
    assert options.since.isoformat() == "2012-01-31T00:00:00+00:00"
    assert options.until.isoformat() == "2013-01-31T12:00:00+02:00"
    assert options.models == list(learners.DEFAULT)


def test_the_summary_says_what_the_intervals_allow() -> None:
    said = summarise(small_artifact())
    assert f"{Verdict.BETTER} the base rate" in said
    assert re.search(rf"({'|'.join(Verdict)}) the rule\.", said)
    for title in ("base rate", "blend 0.6/0.4", "ML confidence - base rate", "ML confidence - rule", *METRICS.values()):
        assert title in said


def test_a_log_gets_a_line_for_each_stage_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with Stages(2, shown=True) as stage:
        stage("first")
        list(bar(range(50), shown=True, desc="inner"))
        stage("second")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["first", "second"]
    assert all(re.fullmatch(r"\w+ +\d+\.\d s", line) for line in lines)


def test_a_terminal_gets_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with Stages(1, shown=True) as stage:
        stage("first")
        list(bar(range(3), shown=True, desc="inner"))
    shown = capsys.readouterr().err
    assert "inner" in shown
    assert "3/3" in shown
    assert "\nfirst" not in shown


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=terminal: answer)
        with Stages(1, shown=False) as stage:
            stage("first")
            list(bar(range(3), shown=False, desc="inner"))
    assert capsys.readouterr().err == ""


def test_help_and_datasets_do_not_load_the_training_stack() -> None:
    program = (
        "import sys, training.cli, training.dataset; training.cli.parser(); "
        "heavy = {'sklearn', 'skl2onnx', 'onnx', 'scipy', 'ndonnx', 'spox'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
