"""Explanations from a model's file: exact for its members, estimated for its calibrated probability."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray

from db_functions.contract import META_BACKGROUND, META_FEATURE_NAMES, META_MEMBERS
from training.attribution import background as background_rows
from training.attribution import members, permutations
from training.attribution.graph import FeatureGraph, Rows
from training.errors import NotExplainable

Floats = NDArray[np.float64]
Seed = int | Sequence[int]
MEMBER_SCALE = "log_odds"


@dataclass(frozen=True, slots=True)
class Attribution:
    """What each feature contributed to one answer: ``contributions`` [F] add up to ``answer`` less ``base``.

    ``member`` is None for the whole model, whose ``scale`` is ``probability`` and whose contributions have
    ``standard_errors`` [F]; a member's are exact, in ``log_odds``. ``base`` is the mean answer over the background.
    """

    member: str | None
    scale: str
    base: float
    answer: float
    contributions: Floats
    standard_errors: Floats | None = None


@dataclass(frozen=True, slots=True)
class Explanations:
    """For each row the attribution of the whole model, then of its members.

    ``unread`` gives the reason for each member that cannot be explained.
    """

    attributions: list[list[Attribution]]
    unread: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Members:
    """Members that can be explained, by name, and why others cannot."""

    read: Mapping[str, members.Member]
    unread: Mapping[str, str]


class Explainer:
    """Explains the scores of one ONNX file from the features that were recorded with them.

    Raises NotExplainable when the file has no features or no background, or when its answer depends on more than its
    features.
    """

    def __init__(self, data: bytes) -> None:
        model = onnx.load_model_from_string(data)
        metadata = {item.key: item.value for item in model.metadata_props}
        self._graph = FeatureGraph(model)
        if META_BACKGROUND not in metadata:
            raise NotExplainable(
                "the model's file holds no background rows to explain its scores against; train it again, or put them "
                "into its metadata"
            )
        self.feature_names: list[str] = json.loads(metadata[META_FEATURE_NAMES])
        self.background = background_rows.decode(metadata[META_BACKGROUND], len(self.feature_names))
        self._answer = self._graph.function("ml_confidence")
        self._tensors: dict[str, str] = json.loads(metadata.get(META_MEMBERS, "{}"))

    @cached_property
    def members(self) -> Members:
        read, unread = {}, {}
        for name, tensor in self._tensors.items():
            try:
                read[name] = members.find(self._graph, tensor, self.background)
            except NotExplainable as error:
                unread[name] = str(error)
        return Members(read, unread)

    def answer(self, features: Rows) -> Floats:
        """The model's confidence for recorded features [N, F]."""
        return np.asarray(self._answer(features)[0], np.float64)

    def explain(self, features: Rows, seeds: Sequence[Seed], *, pairs: int = permutations.PAIRS) -> Explanations:
        """Explain each row of ``features`` [N, F].

        The feature orders of a row follow from its own seed alone, whatever other rows there are.
        """
        found = [[self._whole(row, seed, pairs)] for row, seed in zip(features, seeds, strict=True)]
        unread = dict(self.members.unread)
        for name, member in self.members.read.items():
            try:
                contributions = member.attribute(features, self.background)
            except NotExplainable as error:
                unread[name] = str(error)
                continue
            base = float(member.answer(self.background).mean())
            answers = map(float, member.answer(features))
            for row, answer, own in zip(found, answers, contributions, strict=True):
                row.append(Attribution(name, MEMBER_SCALE, base, answer, own))
        return Explanations(found, unread)

    def _whole(self, row: Rows, seed: Seed, pairs: int) -> Attribution:
        rng = np.random.default_rng(seed)
        found = permutations.estimate(self.answer, row, self.background, rng, pairs=pairs)
        return Attribution(None, "probability", found.base, found.answer, found.contributions, found.errors)
