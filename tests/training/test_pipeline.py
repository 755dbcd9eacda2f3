"""From a dataset to an artifact, and what the command line says when it cannot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from db_functions import progress
from db_functions.contract import CONTRACT_VERSION, PARITY_TOLERANCE
from db_functions.golden import Golden
from db_functions.progress import Stages, bar
from tests.training_support import HORIZON, SMALL, dataset, small_artifact, small_dataset, small_export, small_features
from training import check, cli, regressors
from training.cli import train as train_commands
from training.cli.summary import summarise
from training.correction import CANDIDATES
from training.errors import LearnerNotInstalled, TooFewRows, UnknownCandidate, UnknownLearner
from training.evaluate import Verdict, evaluate
from training.features import FEATURE_NAMES, FIRST_PASSAGE_NAMES, MIN_BARS
from training.metrics import METRICS
from training.pipeline import PLAIN_TARGET, Artifact, known_rates, require_enough, train
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


def test_the_metrics_are_those_of_the_forward_folds_and_the_model_has_every_row() -> None:
    data, metrics = small_dataset(), small_artifact().metrics
    split = split_by_time(data, test_share=0.0)
    assert metrics["rows"] == metrics["measured_on"]["rows"] == len(split.judged)
    assert metrics["measured_on"]["kind"] == "forward folds"
    assert metrics["base_rate"] == pytest.approx(data.positive[split.judged].mean())
    trained = metrics["trained"]
    assert (trained["fitted_rows"], trained["undefined"], metrics["label_horizon"]) == (len(data), 0, HORIZON)
    assert (metrics["fitted_from"], metrics["fitted_until"]) == (data.detected_at[0], data.detected_at[-1])
    assert trained["test_from"] == data.horizon_at.max() + 1


def test_without_a_refit_the_last_fifth_is_held_out() -> None:
    data = small_dataset()
    split = split_by_time(data)
    metrics = train(data, ["logistic"], refit=False, seed=3, size=SMALL).metrics
    assert metrics["measured_on"]["kind"] == "held-out rows"
    assert metrics["rows"] == len(split.test)
    assert metrics["fitted_until"] == data.detected_at[split.fit[-1]]
    assert data.horizon_at[split.fit].max() < data.detected_at[split.test].min()
    assert metrics["trained"]["test_from"] == split.boundary + split.embargo_s


def test_what_was_planted_is_found_and_the_simpler_candidate_kept() -> None:
    # The names of the learners do not matter: a sum of directed features is what was planted.
    artifact = _ridge()
    assert artifact.algorithm == "ridge"
    assert artifact.version.startswith("ridge-")
    found = artifact.metrics["candidates"]
    assert (found["kept"], found["reason"]) == ("ridge", "best")
    assert [one["name"] for one in found["compared"]] == list(CANDIDATES)
    assert artifact.metrics["ml_minus_first_passage"]["brier"]["high"] < 0
    assert artifact.metrics["refused"] == []
    assert "By Brier score the model is better than first passage." in artifact.model_card


@cache
def _ridge() -> Artifact:
    return train(small_dataset(), ["logistic"], seed=3, size=SMALL)


def test_a_candidate_is_kept_by_name_with_the_evidence_beside_it() -> None:
    found = small_artifact().metrics["candidates"]
    assert (found["kept"], found["best"], found["reason"]) == ("ensemble", "ridge", "by_name")
    with pytest.raises(UnknownCandidate, match="no candidate oracle; choose from first_passage, recalibrated"):
        train(small_dataset(), candidate="oracle")


def test_rows_without_a_first_passage_are_left_out() -> None:
    data = small_dataset()
    direction = data.inputs["direction"].copy()
    direction[:100] = 0.0
    artifact = train(
        replace(data, inputs={**data.inputs, "direction": direction}),
        ["logistic"],
        candidate="first_passage",
        seed=3,
        size=SMALL,
    )
    assert artifact.metrics["trained"]["undefined"] == 100
    assert artifact.metrics["trained"]["rows"] == len(data) - 100
    # What was kept learned nothing, so it is the model that needs no labels.
    assert (artifact.algorithm, artifact.feature_names) == ("first_passage", list(FIRST_PASSAGE_NAMES))
    difference = artifact.metrics["evidence"].pop("brier_minus_first_passage")
    assert difference == {"value": 0.0, "low": 0.0, "high": 0.0}
    for part in (artifact.metrics, artifact.drift_baseline):
        json.dumps(part, allow_nan=False)


def test_a_model_that_is_surely_worse_than_first_passage_is_refused() -> None:
    """A champion that answers the outcome itself, and a model that answers its opposite."""
    data = small_dataset()
    plain = small_features()[:, PLAIN_TARGET]
    metrics = evaluate(1 - plain, data, known_rate=0.4, baselines={"first_passage": plain}, seed=1)
    assert [reason.split(":")[0] for reason in metrics["refused"]] == [
        "it is worse than first passage, which needs no training",
        "it is worse than chance",
    ]
    said = {(one["against"], one["score"]): one["verdict"] for one in metrics["verdicts"]}
    assert said["first_passage", "brier"] == said["chance", "roc_auc"] == "worse"
    better = evaluate(plain, data, known_rate=0.4, baselines={"first_passage": 1 - plain}, seed=1)
    assert better["refused"] == []
    assert {("first_passage", "roc_auc"), ("first_passage", "brier")} <= {
        (one["against"], one["score"]) for one in better["verdicts"] if one["verdict"] == "better"
    }


def test_the_champion_is_compared_where_it_has_an_answer() -> None:
    champion = np.full(len(small_dataset()), 0.95)
    champion[:800] = np.nan
    metrics = train(small_dataset(), ["logistic"], champion=champion, seed=3, size=SMALL).metrics
    rows = metrics["rows"]
    judged = split_by_time(small_dataset(), test_share=0.0).judged
    compared = judged[judged >= 800]
    expected = dict.fromkeys(("base", "first_passage", "first_passage_served"), rows) | {"champion": len(compared)}
    assert metrics["compared"] == expected
    brier = np.mean((0.95 - small_dataset().positive[compared]) ** 2)
    assert metrics["champion"]["brier"]["value"] == pytest.approx(brier)
    assert metrics["ml_minus_champion"]["brier"]["high"] < 0


def test_known_rates_are_of_what_had_ended_before() -> None:
    data = small_dataset()
    rates = known_rates(data)
    for row in (0, 300, 1_199):
        before = data.horizon_at < data.detected_at[row]
        assert rates[row] == pytest.approx((data.positive[before].sum() + 1) / (before.sum() + 2))


def test_the_model_finds_what_the_outcomes_were_made_of() -> None:
    assert small_artifact().metrics["ml"]["roc_auc"]["low"] > 0.55


def test_a_real_signal_beats_the_base_rate() -> None:
    metrics = small_artifact().metrics
    assert metrics["ml_minus_base"]["brier"]["high"] < 0
    assert "better than the base rate" in small_artifact().model_card


def test_outcomes_that_nothing_moves_leave_first_passage() -> None:
    artifact = train(dataset(seed=3, strength=0.0), ["logistic"], seed=3, size=SMALL)
    assert artifact.algorithm == "first_passage"
    assert artifact.metrics["candidates"]["kept"] == "first_passage"
    assert artifact.feature_names == list(FIRST_PASSAGE_NAMES)
    assert artifact.metrics["ml_minus_first_passage_served"]["brier"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def _unpadded(card: str) -> str:
    return re.sub(" +", " ", card)


def test_the_card_says_what_a_person_must_know() -> None:
    card = _unpadded(small_artifact().model_card)
    for expected in (
        f"# Model `{small_artifact().version}`",
        "random_forest, logistic, gradient_boosting",
        "1,200 labelled patterns, 2011-03-1",
        "rows were purged",
        "| Brier score |",
        "| ML confidence - rule |",
        "| ML confidence - first passage |",
        "| base rate |",
        "## Candidates",
        "## Calibration",
        "| double_top |",
        "Rise of the model's Brier score",
        "## Intended use and limits",
        "| scikit-learn |",
    ):
        assert expected in card


@pytest.mark.slow
def test_other_strengths_reach_the_learners_and_the_card() -> None:
    changed = train(
        small_dataset(), ["logistic"], candidate="ensemble", parameters={"logistic": {"strength": 0.1}}, seed=3
    )
    plain = train(small_dataset(), ["logistic"], candidate="ensemble", seed=3)
    assert changed.sha256 != plain.sha256
    assert "logistic: strength 0.1" in changed.model_card
    assert "strength" not in plain.model_card


def test_a_pattern_type_cannot_break_the_card() -> None:
    data = small_dataset().take(slice(0, 900))
    kinds = np.full(len(data), "a|b\n# c", dtype=object)
    changed = replace(data, inputs={**data.inputs, "pattern_type": kinds})
    card = _unpadded(train(changed, ["logistic"], seed=1, size=SMALL).model_card)
    assert "| a\\|b # c |" in card


def test_importances_find_the_feature_that_matters_and_know_their_noise() -> None:
    artifact = _ridge()
    rises, errors = artifact.metrics["importances"], artifact.metrics["importance_errors"]
    assert tuple(rises) == tuple(errors) == FEATURE_NAMES
    best = sorted(rises, key=lambda name: -rises[name])[:3]
    assert {"first_passage_target", "rule_confidence"} <= set(best)
    assert rises["rule_confidence"] > 2 * errors["rule_confidence"]
    # No candidate but the ensemble reads it, so nothing may be said of it.
    assert rises["candle_body"] == errors["candle_body"] == 0
    card = _unpadded(artifact.model_card)
    assert f"| rule_confidence | {rises['rule_confidence']:+.5f} |" in card
    assert "| candle_body |" not in card


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
    assert tuple(regressors.LEARNERS) == train_commands.LEARNER_NAMES
    assert regressors.DEFAULT == train_commands.DEFAULT_LEARNERS
    assert train_commands.CANDIDATES == CANDIDATES


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
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"error: {file} cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", "spring 1"], "argument --version: 'spring 1'"),
        (["--version", ""], "argument --version: ''"),
        (["--seed", "-1"], "argument --seed: '-1' is not a whole number from 0 to 4294967295"),
        (["--seed", "4294967296"], "argument --seed: '4294967296' is not a whole number"),
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
    with pytest.raises(LearnerNotInstalled, match=r"pip install '\S+\[xgboost\]'"):
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
    assert options.models == list(regressors.DEFAULT)


def test_the_summary_says_what_the_intervals_allow() -> None:
    said = summarise(small_artifact())
    assert f"{Verdict.BETTER} the base rate" in said
    assert re.search(rf"({'|'.join(Verdict)}) the rule\.", said)
    for title in (
        "base rate",
        "served, weights learned",
        "blend 0.6/0.4",
        "ML confidence - base rate",
        "ML confidence - rule",
        *METRICS.values(),
    ):
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


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """As ``| head`` does: the pipe is closed before anything is written to it."""
    read, write = os.pipe()
    os.close(read)
    (tmp_path / "empty.onnx").touch()
    done = subprocess.run(
        [sys.executable, "-m", "training", "check", str(tmp_path / "empty.onnx")],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
