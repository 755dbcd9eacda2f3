"""The errors of training, each with a message that says what to do."""

from __future__ import annotations

from db_functions.errors import InvalidModel, ScoringError, UnknownModel


class TooFewRows(ScoringError):
    """There are too few labelled rows to train on; label more outcomes or widen --since and --until."""


class NoSpace(ScoringError):
    """The folder for temporary files is full."""


class NothingToLearn(ScoringError):
    """There is no reason to train again yet."""


class StaleSearch(ScoringError):
    """The file belongs to another search for parameters; remove it or name another."""


class UnknownLearner(ScoringError):
    """There is no learner of that name; `python -m training train --help` lists them."""


class UnknownCandidate(ScoringError):
    """No candidate of that name; `python -m training train --help` lists them."""


class LearnerNotInstalled(ScoringError):
    """The learner needs an optional library that is not installed."""


class NotConvertible(InvalidModel):
    """No converter can write a learner as ONNX."""


class NotPublishable(ScoringError):
    """The pipeline, or the rows beside it, cannot be published as they are."""


class PandasMissing(ScoringError):
    """This gives or takes a DataFrame; install pandas with `pip install 'pattern-scoring[pandas]'`."""


class MlflowMissing(ScoringError):
    """This talks to MLflow; install it with `pip install 'pattern-scoring[mlflow]'`."""


class Unreadable(ScoringError):
    """The file cannot be read, so there is nothing to check."""


class OutputRefused(ScoringError):
    """The folder for the output holds something else."""


class ParityFailed(InvalidModel):
    """The exported graph does not answer as the fitted model does; it is not registered."""


class InvalidDataset(ScoringError):
    """The training rows are not in the shape that training needs."""


class NotExplainable(ScoringError):
    """The score cannot be explained from what is recorded."""


def unknown_model(version: str) -> UnknownModel:
    return UnknownModel(f"no model of version {version!r} is registered; `python -m training list` shows all")
