"""The command line of training: one module for each group of commands, joined in :mod:`training.cli.program`."""

from training.cli.program import main, parser

__all__ = ["main", "parser"]
