"""What a classifier's classes mean: which of its columns is P(positive), and the contract's three probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from db_functions.contract import CLASSES
from db_functions.errors import first_line
from training.errors import NotPublishable

_NEGATIVE, _, _POSITIVE = range(len(CLASSES))
_CODES: Final = tuple(range(len(CLASSES)))


@dataclass(frozen=True, slots=True)
class Classes:
    """For each column of ``predict_proba`` its place among negative, neutral and positive."""

    places: tuple[int, ...]

    def probabilities(self, answer: Any, xp: Any) -> Any:
        """P(negative), P(neutral), P(positive), [N, 3], of ``predict_proba``'s answer [N, C].

        Of two classes the one that is not positive counts as negative, unless it is named neutral.
        """
        columns = [
            answer[:, self.places.index(place)] if place in self.places else answer[:, 0] * 0.0 for place in _CODES
        ]
        return xp.stack(columns, axis=1)


def classes_of(classifier: Any, positive: Any = None) -> Classes:
    """The places of ``classifier.classes_``. ``positive`` is the label of the positive class where it is not clear.

    Clear are ``"positive"``, True and 1 of two classes; the names, or the codes 0, 1, 2, of three.
    Raises NotPublishable for anything else.
    """
    labels: list[Any] = np.asarray(classifier.classes_).tolist()
    wanted = [label for label in labels if _is_positive(label, positive)]
    if len(labels) == len(CLASSES) and positive is None:
        for known in (CLASSES, _CODES):
            if sorted(map(str, labels)) == sorted(map(str, known)):
                return Classes(tuple([str(one) for one in known].index(str(label)) for label in labels))
    # 1 is the code of neutral beside 2.
    clear = positive is not None or 2 not in labels
    if len(labels) == 2 and len(wanted) == 1 and clear:
        return Classes(tuple(_POSITIVE if label == wanted[0] else _other(label) for label in labels))
    raise NotPublishable(
        f"it is not clear which of the classes {labels} is the positive outcome; fit on the three names "
        f"{', '.join(CLASSES)} (or 0, 1, 2), on True and False, or say which of two with positive=..."
    )


def ask(classifier: Any, table: Any) -> NDArray[np.float64]:
    """``predict_proba`` [N, C]. Raises NotPublishable with the library's own words when it refuses the rows."""
    try:
        with warnings.catch_warnings():
            # LightGBM names unnamed columns at fitting, and then warns that arrays have no names.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return np.asarray(classifier.predict_proba(table), np.float64)
    except Exception as error:
        said = first_line(error)
        hint = (
            "features are NaN where they are unknown; begin the pipeline with SimpleImputer(strategy='median', "
            "keep_empty_features=True), or use a classifier that takes NaN, such as HistGradientBoostingClassifier"
            if "NaN" in said
            else "the model has to answer every row that a worker meets"
        )
        raise NotPublishable(f"{_name(classifier)} refuses the rows ({said}); {hint}") from error


def require_classifier(classifier: Any) -> None:
    """Raise NotPublishable unless it is fitted and gives probabilities."""
    if isinstance(classifier, type):
        raise NotPublishable(f"{classifier.__name__} is a class; publish a fitted object of it")
    try:
        check_is_fitted(classifier)
    except (NotFittedError, TypeError) as error:
        raise NotPublishable(f"{_name(classifier)} is not a fitted scikit-learn classifier; fit it first") from error
    if not hasattr(classifier, "predict_proba"):
        raise NotPublishable(
            f"{_name(classifier)} has no predict_proba; a score is a probability, so wrap it in CalibratedClassifierCV"
        )


def steps_of(classifier: Any) -> Sequence[str]:
    """Names and classes of a pipeline's steps, or the class alone."""
    steps = getattr(classifier, "steps", None)
    return [f"{name}: {type(step).__name__}" for name, step in steps] if steps else [type(classifier).__name__]


def algorithm_of(classifier: Any) -> str:
    """The class of the last step."""
    steps = getattr(classifier, "steps", None)
    return type(steps[-1][1] if steps else classifier).__name__


def _is_positive(label: Any, positive: Any) -> bool:
    return bool(label == positive) if positive is not None else bool(label in {CLASSES[_POSITIVE], 1})


def _other(label: Any) -> int:
    return CLASSES.index(label) if label in CLASSES[:_POSITIVE] else _NEGATIVE


def _name(classifier: Any) -> str:
    return type(classifier).__name__
