"""The command line of training: everything that joins the pure stages to the database, files and a person."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg

from db_functions.errors import ScoringError

if TYPE_CHECKING:
    from training.dataset import Dataset
    from training.explain import Explained
    from training.learners import Parameters
    from training.pipeline import Artifact

# The training stack takes seconds to import, so each command imports what it needs.
LEARNER_NAMES = (
    "random_forest",
    "logistic",
    "gradient_boosting",
    "extra_trees",
    "exact_boosting",
    "xgboost",
    "lightgbm",
)
DEFAULT_LEARNERS = LEARNER_NAMES[:3]
CANDIDATES = ("first_passage", "recalibrated", "ridge", "ensemble")
ALERT_TYPES = (
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
    "performance_gap",
    "prediction_drift",
    "service_level",
    "stalled_queue",
)
"""Those of ``ml.alerts``: on one that does not exist a schedule would never train, and never say so."""
APPLICATION_NAME = "pattern-scoring training"
_METRICS: Final = ("Brier", "log loss", "ROC AUC", "calibration error")

_INTERRUPTED: Final = {
    **dict.fromkeys(("train", "retrain", "register"), ": nothing was registered"),
    "explain": ": what was explained by then is kept (with --share the same command goes on there)",
    "replay": ": what was scored by then is kept",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it succeeded, 1 after an error that one line explains."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ScoringError, psycopg.Error) as error:
        print(f"error: {str(error).strip()}", file=sys.stderr)
        return 1
    except OSError as error:
        # A folder that is not there, a full disk: what to do about it is in the system's own words.
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"error: {named}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        goes_on = " (the same command goes on with the search)" if getattr(options, "tune", None) else ""
        kept = _INTERRUPTED.get(options.command, "")
        print(f"interrupted{kept}{goes_on}", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m training", description="Train, verify, register and promote models.")
    commands = top.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train on the labelled patterns and register the model")
    train.set_defaults(run=_train)
    _add_recipe(train)
    train.add_argument(
        "--tune",
        type=_positive,
        metavar="N",
        help="try N other parameters of each learner on folds in time, and keep what is surely better",
    )
    train.add_argument(
        "--tune-file",
        type=Path,
        default=Path("tuning.jsonl"),
        metavar="FILE",
        help="what was tried, so that an interrupted search goes on (default: tuning.jsonl)",
    )
    train.add_argument("--promote", action="store_true", help="make it the champion at once")
    train.add_argument("-o", "--output", type=Path, metavar="FILE", help="also write the ONNX file here")

    retrain = commands.add_parser("retrain", help="train when there is reason to; the model challenges, and no more")
    retrain.set_defaults(run=_retrain)
    _add_recipe(retrain)
    retrain.add_argument(
        "--min-new",
        type=int,
        default=200,
        metavar="N",
        help="labelled patterns newer than what the last model was trained on, or nothing is done (default: 200)",
    )
    retrain.add_argument(
        "--on-alert",
        nargs="+",
        choices=ALERT_TYPES,
        metavar="TYPE",
        help="only while an alert of such a type stands in ml.alerts",
    )
    retrain.add_argument("--share", type=_share, default=1.0, help="of the rows that it scores (default: 1)")

    register = commands.add_parser("register", help="register an ONNX file made anywhere")
    register.set_defaults(run=_register)
    register.add_argument("file", type=Path)
    register.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="rows and the answers that your own framework gives to them (.npz); the file must answer alike",
    )

    check = commands.add_parser("check", help="say what is wrong with an ONNX file; needs no database")
    check.set_defaults(run=_check)
    check.add_argument("file", type=Path)

    challenge = commands.add_parser("challenge", help="let a registered model score live rows beside the champion")
    challenge.set_defaults(run=_challenge)
    challenge.add_argument("version")
    challenge.add_argument(
        "--share", type=float, default=1.0, help="of the rows that it scores; 0 ends it (default: 1)"
    )
    challenge.add_argument("--canary", type=float, default=0.0, help="of the rows that it serves (default: 0)")
    challenge.add_argument("--reason", required=True, help="kept in the history of the alias")

    promote = commands.add_parser("promote", help="make a registered model the champion")
    promote.set_defaults(run=_promote)
    promote.add_argument("version")
    promote.add_argument("--reason", required=True, help="kept in the history of the alias")
    promote.add_argument("--force", action="store_true", help="promote although a gate failed")

    replay = commands.add_parser("replay", help="score patterns of the past anew; rows keep their scores")
    replay.set_defaults(run=_replay)
    replay.add_argument("--model", required=True, metavar="VERSION", help="any registered model")
    replay.add_argument("--since", type=_instant, required=True, metavar="TIME", help="patterns detected from then on")
    replay.add_argument("--until", type=_instant, metavar="TIME", help="only patterns detected before then")
    replay.add_argument("-q", "--quiet", action="store_true", help="no progress bar")

    explain = commands.add_parser("explain", help="say what each feature had to do with scores; keeps it for SQL")
    explain.set_defaults(run=_explain)
    explain.add_argument(
        "patterns", nargs="*", type=UUID, metavar="ID", help="patterns; their newest score is explained"
    )
    explain.add_argument("--model", metavar="VERSION", help="that model's scores (default: those that reached the row)")
    explain.add_argument(
        "--share", type=_share, help="instead of patterns: of all scores, chosen by hash; with --since"
    )
    explain.add_argument("--since", type=_instant, metavar="TIME", help="only scores made from then on")
    explain.add_argument("--until", type=_instant, metavar="TIME", help="only scores made before then")
    explain.add_argument(
        "--permutations",
        type=_at_least_two,
        default=2,
        metavar="N",
        help="orders of the features for each background row; more make standard errors smaller (default: 2)",
    )
    explain.add_argument("-q", "--quiet", action="store_true", help="no progress bar")

    report = commands.add_parser("report", help="a page on a model, from rows that it did not learn from")
    report.set_defaults(run=_report)
    report.add_argument("version")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="(report.html)")
    report.add_argument("--against", metavar="VERSION", help="another model on the same rows")
    report.add_argument("--since", type=_instant, metavar="TIME", help="only patterns detected from then on")
    report.add_argument("--until", type=_instant, metavar="TIME", help="only patterns detected before then")

    listing = commands.add_parser("list", help="list the registered models")
    listing.set_defaults(run=_list)

    show = commands.add_parser("show", help="print a model's card, or all that is known of it")
    show.set_defaults(run=_show)
    show.add_argument("version")
    show.add_argument("--json", action="store_true", help="everything but the file, as JSON")
    return top


def _add_recipe(command: argparse.ArgumentParser) -> None:
    """What is trained, and on which rows."""
    command.add_argument(
        "--models",
        nargs="+",
        choices=(*LEARNER_NAMES, "first_passage"),
        default=list(DEFAULT_LEARNERS),
        metavar="NAME",
        help=f"learners: {', '.join(LEARNER_NAMES)} (default: the first three); first_passage alone needs no labels",
    )
    command.add_argument(
        "--candidate",
        choices=CANDIDATES,
        help="keep this one whatever the folds say (default: the simplest that does as well as the best)",
    )
    command.add_argument(
        "--no-refit", dest="refit", action="store_false", help="hold out the last fifth of the rows, and measure on it"
    )
    command.add_argument("--version", type=_version, help="name of the model (default: algorithm and hash)")
    command.add_argument("--seed", type=_seed, default=0, help="seed of everything random (default: 0)")
    command.add_argument(
        "--since", type=_instant, metavar="TIME", help="only patterns detected from then on (ISO 8601)"
    )
    command.add_argument("--until", type=_instant, metavar="TIME", help="only patterns detected before then")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress bars")


def _train(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import promote, register

    if options.output is not None:
        _require_place(options.output)
    artifact = _fit(options, _load(options), tune=options.tune)
    if options.output is not None:
        _write(options.output, artifact.onnx)
    with connect(application_name=APPLICATION_NAME) as connection:
        register(connection, artifact)
        print(summary(artifact))
        if options.promote:
            promote(connection, artifact.version, "trained with --promote")
            print(f"promoted {artifact.version}: it is the champion now")
        else:
            print(f"to serve it: python -m training promote {artifact.version} --reason '...'")
    return 0


def _retrain(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.errors import NothingToLearn
    from training.registry import challenge, register
    from training.retrain import champion_parameters, last_trained, require_alert, require_news

    try:
        with connect(application_name=APPLICATION_NAME) as connection:
            if options.on_alert:
                require_alert(connection, options.on_alert)
            last = last_trained(connection)
            parameters = champion_parameters(connection, options.models)
        dataset = _load(options)
        require_news(dataset, last, options.min_new)
    except NothingToLearn as reason:
        # No failure: a schedule asks often, and there is seldom news.
        print(f"nothing was trained: {reason}")
        return 0
    artifact = _fit(options, dataset, parameters=parameters)
    with connect(application_name=APPLICATION_NAME) as connection:
        register(connection, artifact)
        print(summary(artifact))
        because = f"alert of {', '.join(options.on_alert)}" if options.on_alert else "on schedule"
        challenge(connection, artifact.version, f"retrained: {because}", share=options.share, canary=0.0)
    print(
        f"{artifact.version} challenges the champion; ml.gates('{artifact.version}') shows what it lacks to follow it"
    )
    return 0


def _load(options: argparse.Namespace) -> Dataset:
    from db_functions.database import connect
    from training.load import load_labelled
    from training.progress import Stages

    progress = not options.quiet
    # Closed afterwards: fitting may take minutes.
    with connect(application_name=APPLICATION_NAME) as connection, Stages(1, shown=progress) as stage:
        stage("load")
        return load_labelled(connection, since=options.since, until=options.until, progress=progress)


def _fit(
    options: argparse.Namespace, dataset: Dataset, *, parameters: Parameters | None = None, tune: int | None = None
) -> Artifact:
    from training.pipeline import train
    from training.tune import Search

    return train(
        dataset,
        options.models,
        candidate=options.candidate,
        refit=options.refit,
        parameters=parameters,
        search=Search(tune, options.tune_file) if tune else None,
        seed=options.seed,
        version=options.version,
        progress=not options.quiet,
    )


def _register(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import register_file

    with connect(application_name=APPLICATION_NAME) as connection:
        version = register_file(connection, options.file, options.golden)
    print(f"registered {version}; to serve it: python -m training promote {version} --reason '...'")
    return 0


def _check(options: argparse.Namespace) -> int:
    from training.check import read_checked
    from training.describe import describe

    data, faults = read_checked(options.file)
    # Nothing is said of the tensors of a file that is empty or was not read.
    lines = describe(data) if data else []
    told = [fault for line in lines for fault in line.faults]
    if lines:
        rows = [[line.kind, line.name, line.given, "; ".join(line.faults) or "as agreed"] for line in lines]
        print("\n".join(_aligned(rows)))
    for fault in faults:
        if fault not in told:
            print(f"{options.file}: {fault}")
    print(f"{options.file}: {'may not be registered' if faults else 'keeps the scoring contract'}")
    return 1 if faults else 0


def _challenge(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import challenge

    with connect(application_name=APPLICATION_NAME) as connection:
        challenge(connection, options.version, options.reason, share=options.share, canary=options.canary)
    if options.share == 0:
        print(f"{options.version} challenges no longer")
    else:
        part = f"{options.share:.0%} of the rows beside the champion, serves {options.canary:.0%}"
        print(f"{options.version} scores {part}")
    return 0


def _promote(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import promote

    with connect(application_name=APPLICATION_NAME) as connection:
        promote(connection, options.version, options.reason, force=options.force)
    print(f"promoted {options.version}: it is the champion now")
    return 0


def _replay(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.replay import replay

    with connect(application_name=APPLICATION_NAME) as connection:
        found = replay(connection, options.model, options.since, options.until, progress=not options.quiet)
    sizes = sorted(map(abs, found.differences))
    print(f"{found.rows} rows scored by {options.model}, {found.skipped} skipped")
    print(f"{len(sizes)} had a score: {found.same_inputs} with the same inputs as then")
    print(f"{found.repeated} of these scored by {options.model} then too: {found.identical} identical to the bit")
    if sizes:
        print(f"differences: median {sizes[len(sizes) // 2]:.3g}, largest {sizes[-1]:.3g}")
    print("row by row: ml.replay_differences")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.explain import explain_patterns, explain_share

    if bool(options.patterns) == (options.share is not None) or (options.share is None) != (options.since is None):
        raise ScoringError("name patterns, or a share of all scores with --share and --since")
    with connect(application_name=APPLICATION_NAME) as connection:
        if options.patterns:
            found = explain_patterns(connection, options.patterns, options.model, pairs=options.permutations)
            print("\n\n".join(map(_reasons, found)))
            print("\nevery feature: ml.attributions")
            return 0
        done = explain_share(
            connection,
            options.share,
            options.since,
            options.until,
            options.model,
            pairs=options.permutations,
            progress=not options.quiet,
        )
    print(f"{done.explained} scores explained, {done.skipped.total()} skipped")
    for reason, count in done.skipped.items():
        print(f"{count} of {reason}")
    for (model, name), why in done.unread.items():
        print(f"member {name} of {model} is left out: {why}")
    print("on the average: ml.attribution_importance")
    return 0


_REASONS: Final = 10


def _reasons(found: Explained) -> str:
    """The features that had most to do with a score, and how far each member went by them."""
    whole, *members = found.attributions
    score = found.score
    first = (
        f"pattern {score.pattern_id}: {whole.answer:.4f} by {score.version} at {_moment(score.scored_at)}; "
        f"{whole.base:.4f} on the average of {found.background_rows} background rows"
    )
    assert whole.standard_errors is not None
    order = sorted(range(len(found.features)), key=lambda i: -abs(whole.contributions[i]))
    rows = [["feature", "value", "contribution", *(f"{m.member}, {m.scale.replace('_', '-')}" for m in members)]]
    rows += [
        [
            found.feature_names[i],
            f"{found.features[i]:.6g}",
            f"{whole.contributions[i]:+.4f} ± {whole.standard_errors[i]:.4f}",
            *(f"{m.contributions[i]:+.4f}" for m in members),
        ]
        for i in order[:_REASONS]
    ]
    rest = order[_REASONS:]
    if rest:
        sums = [a.contributions[rest].sum() for a in found.attributions]
        rows.append([f"{len(rest)} others", "", *(f"{value:+.4f}" for value in sums)])
    left_out = [f"member {name} is left out: {why}" for name, why in found.unread.items()]
    return "\n".join([first, *_aligned(rows), *left_out])


def _report(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.load import load_labelled
    from training.report import fetch, render, rows_for

    _require_place(options.output)
    with connect(application_name=APPLICATION_NAME) as connection:
        subject = fetch(connection, options.version)
        other = fetch(connection, options.against) if options.against else None
        dataset = load_labelled(connection, since=options.since, until=options.until, progress=True)
    rows = rows_for(dataset, subject, *([other] if other else []))
    _write(options.output, render(subject, rows, other).encode())
    print(f"{options.output}: {options.version} on {len(rows):,} rows that it did not learn from")
    return 0


def _list(_: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import list_models

    with connect(application_name=APPLICATION_NAME) as connection:
        models = list_models(connection)
    if not models:
        print("no model is registered yet; `python -m training train` makes one", file=sys.stderr)
        return 0
    print("\n".join(_aligned([list(_LISTED), *([show(model) for show in _LISTED.values()] for model in models)])))
    return 0


def _aligned(rows: list[list[str]]) -> list[str]:
    """Lines of ``rows`` as columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in rows]


_PARITY: Final = {None: "unchecked", True: "passed", False: "FAILED"}

_LISTED: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "version": lambda model: model["version"],
    "state": lambda model: model["state"],
    "parity": lambda model: _PARITY[model["parity"]],
    "Brier": lambda model: _number(model["brier"]),
    "of the rule": lambda model: _number(model["rule_brier"]),
    "algorithm": lambda model: model["algorithm"],
    "size": lambda model: f"{model['bytes'] / 2**20:.1f} MB",
    "registered": lambda model: f"{_moment(model['created_at'])} by {model['created_by']}",
}
"""Each column of the list, and how a model fills it."""


def _show(options: argparse.Namespace) -> int:
    from db_functions.database import connect
    from training.registry import show

    with connect(application_name=APPLICATION_NAME) as connection:
        model = show(connection, options.version)
    if options.json:
        print(json.dumps(model, default=str, indent=2))
    else:
        print(model.get("model_card") or f"# Model `{options.version}`\n\nIt has no model card.\n")
        print(_standing(model))
    return 0


def _standing(model: dict[str, Any]) -> str:
    """What the registry knows beyond the card, in its style."""
    lines = ["## In the registry", "", f"- Registered {_moment(model['created_at'])} by {model['created_by']}"]
    if model["retired_at"] is not None:
        lines.append(f"- Retired {_moment(model['retired_at'])}: {model['retired_reason']}")
    lines += [
        f"- Parity {_PARITY[check['passed']]} on {_moment(datetime.fromisoformat(check['at']))}: off by at most "
        f"{check['max_abs_diff']:.1e} over {check['rows']:,} rows, {check['runtime']}"
        for check in model["parity_checks"] or []
    ]
    return "\n".join(lines)


def summary(artifact: Artifact) -> str:
    """What a person wants to know when training ends."""
    first = (
        f"registered {artifact.version}: {len(artifact.onnx) / 2**20:.1f} MB, {len(artifact.feature_names)} features, "
        f"differs from scikit-learn by at most {artifact.parity.max_abs_diff:.1e} over {artifact.parity.rows:,} rows"
    )
    whole, paired = artifact.metrics, artifact.metrics["with_rule"]
    if "ml" not in whole:
        return first
    if paired["rows"] == whole["rows"]:
        return "\n".join([first, *_judged(whole | paired, ("base", "rule"), "rows")])
    lines = [first, *_judged(whole, ("base",), "rows")]
    if "rule" in paired:
        lines += _judged(paired, ("rule",), "rows with a rule confidence")
    return "\n".join(lines)


_TITLES: Final = {"ml": "ML confidence", "base": "base rate", "rule": "rule", "blend": "blend 0.6/0.4"}


def _judged(metrics: dict[str, Any], baselines: Sequence[str], which: str) -> list[str]:
    """A table of metrics, by how much ML exceeds each baseline, and what those intervals allow to say."""
    from training.evaluate import verdict

    rows = [[title, *map(_figure, metrics[name].values())] for name, title in _TITLES.items() if name in metrics]
    said = []
    for name in baselines:
        difference = metrics[f"ml_minus_{name}"]
        rows.append([f"ML - {_TITLES[name]}", *map(_figure, difference.values())])
        claim = verdict(difference["brier"]["low"], difference["brier"]["high"])
        said.append(f"By Brier score the ML confidence {claim} the {_TITLES[name]}.")
    header = f"On the last {metrics['rows']:,} {which}, with 95 % intervals (lower is better, but for AUC):"
    return ["", header, *_aligned([["", *_METRICS], *rows]), *said]


def _figure(entry: dict[str, float | None]) -> str:
    if entry["value"] is None or entry["low"] is None:
        return "undefined"
    return f"{entry['value']:.4f} [{entry['low']:.4f}, {entry['high']:.4f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _require_place(path: Path) -> None:
    """Raise ScoringError for an output that could not be written, before the work that it is to hold."""
    if path.is_dir():
        raise ScoringError(f"{path} cannot be written: it is a directory; name a file")
    if not path.parent.is_dir():
        raise ScoringError(f"{path} cannot be written: there is no directory {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ScoringError(f"{path} cannot be written: permission denied; name a file elsewhere")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ScoringError(f"{path} cannot be written: {error.strerror}") from error


def _version(text: str) -> str:
    from db_functions.contract import VERSION, VERSION_RULE

    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a model: {VERSION_RULE}")
    return text


def _seed(text: str) -> int:
    """As far as every library takes it."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share; it must be above 0 and at most 1")
    return value


def _at_least_two(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{text} is too few: 2 show how much orders differ")
    return value


def _positive(text: str) -> int:
    """A whole number of at least one."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _instant(text: str) -> datetime:
    """An ISO 8601 date or time; without an offset it is taken as UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 date or time, such as 2012-01-31") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
