"""A model's file as something that explains: its members exactly, its calibrated probability by an estimate."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    """What each feature had to do with one answer: ``contributions`` [F] add up to ``answer`` less ``base``.

    ``member`` is None for the whole model, whose ``scale`` is ``probability`` and whose contributions have
    ``standard_errors`` [F]; a member's are exact, in ``log_odds``. ``base`` is the mean answer over the background.
    """

    member: str | None
    scale: str
    base: float
    answer: float
    contributions: Floats
    standard_errors: Floats | None = None


class Explainer:
    """Explains the scores of one ONNX file from the features that were recorded with them.

    Raises NotExplainable when the file has no features, no background, or answers by more than its features.
    ``unread`` says of members that cannot be explained why.
    """

    def __init__(self, data: bytes) -> None:
        model = onnx.load_model_from_string(data)
        metadata = {item.key: item.value for item in model.metadata_props}
        self._graph = FeatureGraph(model)
        if META_BACKGROUND not in metadata:
            raise NotExplainable(
                "the model's file holds no background rows to explain its scores against: it is from before they were "
                "kept, or was made elsewhere; train it again, or put them into its metadata"
            )
        self.feature_names: list[str] = json.loads(metadata[META_FEATURE_NAMES])
        self.background = background_rows.decode(metadata[META_BACKGROUND], len(self.feature_names))
        self._answer = self._graph.function("ml_confidence")
        self._tensors: dict[str, str] = json.loads(metadata.get(META_MEMBERS, "{}"))
        self.unread: dict[str, str] = {}

    @cached_property
    def members(self) -> dict[str, members.Member]:
        """The members that can be explained, by name."""
        found = {}
        for name, tensor in self._tensors.items():
            try:
                found[name] = members.find(self._graph, tensor, self.background)
            except NotExplainable as error:
                self.unread[name] = str(error)
        return found

    def answer(self, features: Rows) -> Floats:
        """The model's confidence for recorded features [N, F]."""
        return np.asarray(self._answer(features)[0], np.float64)

    def explain(
        self, features: Rows, seeds: Sequence[Seed], *, pairs: int = permutations.PAIRS
    ) -> list[list[Attribution]]:
        """For each row of ``features`` [N, F] the whole's attribution, then the members'.

        The orders of a row's estimate follow from its own of the ``seeds``, whatever other rows there are.
        """
        found = [[self._whole(row, seed, pairs)] for row, seed in zip(features, seeds, strict=True)]
        for name, member in self.members.items():
            try:
                parts = member.attribute(features, self.background)
            except NotExplainable as error:
                self.unread[name] = str(error)
                continue
            base = float(member.answer(self.background).mean())
            for row, answer, contributions in zip(found, member.answer(features), parts, strict=True):
                row.append(Attribution(name, MEMBER_SCALE, base, float(answer), contributions))
        return found

    def _whole(self, row: Rows, seed: Seed, pairs: int) -> Attribution:
        rng = np.random.default_rng(seed)
        found = permutations.estimate(self.answer, row, self.background, rng, pairs=pairs)
        return Attribution(None, "probability", found.base, found.answer, found.parts, found.errors)
