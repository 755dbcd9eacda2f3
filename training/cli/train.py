"""``train`` and ``retrain``: labelled patterns in, a registered model out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from db_functions.advice import blend_line
from db_functions.bulk.options import add_engine, engine_of
from db_functions.errors import ScoringError
from training.cli.arguments import (
    Commands,
    add_command,
    add_period,
    add_quiet,
    model_version,
    share,
    whole_number,
)
from training.cli.database import connect
from training.cli.output import require_writable, write_file

if TYPE_CHECKING:
    from training.pipeline import Artifact
    from training.prepare import Prepared
    from training.regressors import Parameters

# The training stack takes seconds to import, so each command imports what it needs.
LEARNER_NAMES: Final = (
    "random_forest",
    "logistic",
    "gradient_boosting",
    "extra_trees",
    "exact_boosting",
    "xgboost",
    "lightgbm",
)
DEFAULT_LEARNERS: Final = LEARNER_NAMES[:3]
FIRST_PASSAGE: Final = "first_passage"
"""The model that needs no labels. Only ``train`` makes it: training it again would change nothing."""
CANDIDATES: Final = ("first_passage", "recalibrated", "ridge", "ensemble")
ALERT_TYPES: Final = (
    "cache_hit_rate",
    "calibration",
    "data_quality",
    "dead_letters",
    "error_rate",
    "fallback_rate",
    "feature_drift",
    "model_fault",
    "no_baseline",
    "no_model",
    "no_worker",
    "nothing_blended",
    "notifications_full",
    "partition_missing",
    "partition_overdue",
    "performance_gap",
    "prediction_drift",
    "served_worse",
    "service_level",
    "stalled_queue",
    "upkeep_failing",
    "write_altered",
)
"""The types of ``ml.alerts``. A schedule with a misspelt type would never train, so it is refused."""


def add_commands(commands: Commands) -> None:
    _add_train(commands)
    _add_retrain(commands)


def _add_train(commands: Commands) -> None:
    command = add_command(
        commands,
        "train",
        _train,
        "train on the labelled patterns and register the model",
        interrupted=": nothing was registered; with --tune the same command continues the search",
    )
    _add_recipe(command, f"; or {FIRST_PASSAGE} alone, which needs no labels", FIRST_PASSAGE)
    command.add_argument(
        "--tune",
        type=whole_number(1),
        metavar="N",
        help="try N other parameters of each learner on folds in time, and keep those that are surely better",
    )
    command.add_argument(
        "--tune-file",
        type=Path,
        default=Path("tuning.jsonl"),
        metavar="FILE",
        help="results of the search so far, so that it can continue after an interruption (default: tuning.jsonl)",
    )
    command.add_argument("--promote", action="store_true", help="make it the champion at once")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the ONNX file here")


def _add_retrain(commands: Commands) -> None:
    command = add_command(
        commands,
        "retrain",
        _retrain,
        "train when there is a reason to; registers a challenger, never promotes it",
        interrupted=": nothing was registered",
    )
    _add_recipe(command)
    command.add_argument(
        "--min-new",
        type=int,
        default=200,
        metavar="N",
        help="train only with N labelled patterns newer than those of the last model (default: 200)",
    )
    command.add_argument(
        "--on-alert",
        nargs="+",
        choices=ALERT_TYPES,
        metavar="TYPE",
        help="train only while ml.alerts shows an alert of one of these types",
    )
    command.add_argument("--share", type=share, default=1.0, help="share of the rows that it scores (default: 1)")


def _add_recipe(command: argparse.ArgumentParser, more: str = "", *others: str) -> None:
    """What is trained, and on which rows; ``others`` are models beside the learners, ``more`` what to say of them."""
    command.add_argument(
        "--models",
        nargs="+",
        choices=(*LEARNER_NAMES, *others),
        default=list(DEFAULT_LEARNERS),
        metavar="NAME",
        help=f"learners: {', '.join(LEARNER_NAMES)} (default: the first three){more}",
    )
    command.add_argument(
        "--candidate",
        choices=CANDIDATES,
        help="keep this one whatever the folds show (default: the simplest that does as well as the best)",
    )
    command.add_argument(
        "--no-refit",
        dest="refit",
        action="store_false",
        help="hold out the last fifth of the rows to measure on, instead of a refit on all rows",
    )
    command.add_argument("--version", type=model_version, help="version of the model (default: algorithm and hash)")
    command.add_argument(
        "--seed", type=whole_number(0, 2**32 - 1), default=0, help="seed of everything random (default: 0)"
    )
    add_period(command, "patterns detected")
    add_engine(command, replica=False)
    add_quiet(command)


def _train(options: argparse.Namespace) -> int:
    from training.cli.summary import summarise
    from training.registry import promote, register

    if options.output is not None:
        require_writable(options.output)
    without_labels = FIRST_PASSAGE in options.models
    artifact = _first_passage(options) if without_labels else _fit(options, load(options), tune=options.tune)
    if options.output is not None:
        write_file(options.output, artifact.onnx)
    with connect() as connection:
        register(connection, artifact)
        print(summarise(artifact))
        if options.promote:
            promote(connection, artifact.version, "trained with --promote")
            print(f"promoted {artifact.version}: it is the champion now")
        else:
            print(f"to serve it: python -m training promote {artifact.version} --reason '...'")
        if (advice := blend_line(connection)) is not None:
            print(advice)
    return 0


def _first_passage(options: argparse.Namespace) -> Artifact:
    """For the horizon of ``ml.settings``. Raises ScoringError where something is to be learned as well."""
    from training.first_passage import make
    from training.load import read_gather_settings

    learning = {"--tune": options.tune, "--since": options.since, "--until": options.until}
    useless = [name for name in options.models if name != FIRST_PASSAGE]
    useless += [name for name, value in learning.items() if value is not None]
    useless += ["--candidate"] * (options.candidate is not None) + ["--no-refit"] * (not options.refit)
    if useless:
        raise ScoringError(f"{FIRST_PASSAGE} learns from nothing, so it goes without {', '.join(useless)}")
    with connect() as connection:
        horizon = read_gather_settings(connection).label_horizon
    return make(horizon, options.version)


def _retrain(options: argparse.Namespace) -> int:
    from training.cli.summary import summarise
    from training.errors import NothingToLearn
    from training.registry import challenge, register
    from training.retrain import champion_parameters, last_trained, require_alert, require_new_labels

    try:
        with connect() as connection:
            if options.on_alert:
                require_alert(connection, options.on_alert)
            last = last_trained(connection)
            require_new_labels(connection, last, options.min_new, options.since, options.until)
            parameters = champion_parameters(connection, options.models)
    except NothingToLearn as reason:
        # Not a failure: a schedule asks often and seldom finds a reason.
        print(f"nothing was trained: {reason}")
        return 0
    artifact = _fit(options, load(options), parameters=parameters)
    version = artifact.version
    because = f"alert of {', '.join(options.on_alert)}" if options.on_alert else "on schedule"
    with connect() as connection:
        register(connection, artifact)
        print(summarise(artifact))
        challenge(connection, version, f"retrained: {because}", share=options.share, canary=0.0)
    print(f"{version} challenges the champion; ml.gates('{version}') shows which gates it has still to pass")
    return 0


def load(options: argparse.Namespace) -> Prepared:
    """The labelled rows of the period; the connection is closed before the long fit begins."""
    from db_functions.progress import Stages
    from training.prepare import load_prepared

    progress = not options.quiet
    with connect() as connection, Stages(1, shown=progress) as stage:
        stage("load and features")
        engine = engine_of(options)
        return load_prepared(connection, engine, since=options.since, until=options.until, progress=progress)


def _fit(
    options: argparse.Namespace, rows: Prepared, *, parameters: Parameters | None = None, tune: int | None = None
) -> Artifact:
    from training.parallel import fitting_on
    from training.pipeline import train
    from training.tune import Search

    with fitting_on(options.engine, options.processes, options.scheduler):
        return train(
            rows,
            options.models,
            candidate=options.candidate,
            refit=options.refit,
            parameters=parameters,
            search=Search(tune, options.tune_file) if tune else None,
            seed=options.seed,
            version=options.version,
            progress=not options.quiet,
        )
