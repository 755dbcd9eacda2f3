"""``check``: what is wrong with an ONNX file, without a database."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.cli.arguments import Commands, add_command
from training.cli.output import aligned


def add_commands(commands: Commands) -> None:
    command = add_command(commands, "check", _check, "say what is wrong with an ONNX file; needs no database")
    command.add_argument("file", type=Path)


def _check(options: argparse.Namespace) -> int:
    from training.check import read_checked
    from training.describe import describe

    data, faults = read_checked(options.file)
    # An empty file, or one that was not read, has no tensors to describe.
    lines = describe(data) if data else []
    if lines:
        rows = [[line.kind, line.name, line.given, "; ".join(line.faults) or "as agreed"] for line in lines]
        print("\n".join(aligned(rows)))
    printed = {fault for line in lines for fault in line.faults}
    for fault in faults:
        if fault not in printed:
            print(f"{options.file}: {fault}")
    print(f"{options.file}: {'may not be registered' if faults else 'keeps the scoring contract'}")
    return 1 if faults else 0
