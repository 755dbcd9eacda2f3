"""``register``, ``challenge``, ``promote``, ``list`` and ``show``: models in the registry."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from db_functions.advice import blend_line
from db_functions.errors import ScoringError, one_line
from training.cli.arguments import Commands, add_command
from training.cli.database import connect
from training.cli.output import aligned, moment, require_writable, write_file

if TYPE_CHECKING:
    from training.registry import ListedModel, RegisteredModel

_PARITY: Final = {None: "unchecked", True: "passed", False: "FAILED"}
_HISTORY: Final = "kept in the history of the alias"


def add_commands(commands: Commands) -> None:
    register = add_command(
        commands,
        "register",
        _register,
        "register an ONNX file of any origin",
        interrupted=": nothing was registered",
    )
    register.add_argument("file", metavar="FILE", help="an ONNX file, or an MLflow model such as models:/name@alias")
    register.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="rows with the answers of the framework that made the model (.npz); the file must give the same answers",
    )

    export = add_command(commands, "export", _export, "write a registered model to a file or to MLflow")
    export.add_argument("version")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the ONNX file here")
    export.add_argument(
        "--mlflow",
        nargs="?",
        const="pattern-scoring",
        metavar="NAME",
        help="register it in MLflow, which MLFLOW_TRACKING_URI names, as a version of NAME (pattern-scoring)",
    )

    challenge = add_command(
        commands, "challenge", _challenge, "let a registered model score live rows beside the champion"
    )
    challenge.add_argument("version")
    challenge.add_argument(
        "--share", type=float, default=1.0, help="share of the rows that it scores; 0 ends the challenge (default: 1)"
    )
    challenge.add_argument("--canary", type=float, default=0.0, help="share of the rows that it serves (default: 0)")
    challenge.add_argument("--reason", required=True, help=_HISTORY)

    promote = add_command(commands, "promote", _promote, "make a registered model the champion")
    promote.add_argument("version")
    promote.add_argument("--reason", required=True, help=_HISTORY)
    promote.add_argument("--force", action="store_true", help="promote although a gate failed")

    add_command(commands, "list", _list, "list the registered models")

    show = add_command(commands, "show", _show, "print a model's card, or everything known about it")
    show.add_argument("version")
    show.add_argument("--json", action="store_true", help="everything except the file, as JSON")


def _register(options: argparse.Namespace) -> int:
    from training.mlflow_bridge import is_uri, register_uri
    from training.registry import register_file

    with connect() as connection:
        if is_uri(options.file):
            version = register_uri(connection, options.file)
        else:
            version = register_file(connection, Path(options.file), options.golden)
    print(f"registered {version}; to serve it: python -m training promote {version} --reason '...'")
    return 0


def _export(options: argparse.Namespace) -> int:
    from training.mlflow_bridge import export
    from training.registry import read_file

    if options.output is None and options.mlflow is None:
        raise ScoringError("name where to: --output FILE, --mlflow, or both")
    if options.output is not None:
        require_writable(options.output)
    with connect() as connection:
        data = read_file(connection, options.version)
        if options.output is not None:
            write_file(options.output, data)
            print(f"wrote {options.output}")
        if options.mlflow is not None:
            print(f"registered {export(connection, options.version, options.mlflow)}")
    return 0


def _challenge(options: argparse.Namespace) -> int:
    from training.registry import challenge

    with connect() as connection:
        challenge(connection, options.version, options.reason, share=options.share, canary=options.canary)
    if options.share == 0:
        print(f"{options.version} no longer challenges the champion")
    else:
        print(f"{options.version} scores {options.share:.0%} of the rows and serves {options.canary:.0%}")
    return 0


def _promote(options: argparse.Namespace) -> int:
    from training.registry import promote

    with connect() as connection:
        promote(connection, options.version, options.reason, force=options.force)
        advice = blend_line(connection)
    print(f"promoted {options.version}: it is the champion now")
    if advice is not None:
        print(advice)
    return 0


def _list(_: argparse.Namespace) -> int:
    from training.registry import list_models

    with connect() as connection:
        models = list_models(connection)
    if not models:
        print("no model is registered yet; `python -m training train` makes one", file=sys.stderr)
        return 0
    header = ["version", "state", "parity", "Brier", "of the rule", "algorithm", "size", "registered"]
    print("\n".join(aligned([header, *map(_listed, models)])))
    return 0


def _listed(model: ListedModel) -> list[str]:
    return [
        model.version,
        model.state,
        _PARITY[model.parity],
        "-" if model.brier is None else f"{model.brier:.4f}",
        "-" if model.rule_brier is None else f"{model.rule_brier:.4f}",
        model.algorithm,
        f"{model.bytes / 2**20:.1f} MB",
        f"{moment(model.created_at)} by {model.created_by}",
    ]


def _show(options: argparse.Namespace) -> int:
    from training.registry import show

    with connect() as connection:
        model = show(connection, options.version)
    if options.json:
        print(json.dumps(asdict(model), default=str, indent=2))
    else:
        print(model.model_card or f"# Model `{options.version}`\n\nIt has no model card.\n")
        print(_registration(model))
    return 0


def _registration(model: RegisteredModel) -> str:
    """What the registry knows beyond the card, in the card's style."""
    lines = ["## In the registry", "", f"- Registered {moment(model.created_at)} by {model.created_by}"]
    if model.retired_at is not None:
        lines.append(f"- Retired {moment(model.retired_at)}: {one_line(model.retired_reason or '')}")
    lines += [
        f"- Parity {_PARITY[check.passed]} on {moment(check.at)}: largest difference {check.max_abs_diff:.1e} "
        f"over {check.rows:,} rows, {check.runtime}"
        for check in model.parity_checks
    ]
    return "\n".join(lines)
