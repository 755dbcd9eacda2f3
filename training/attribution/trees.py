"""Exact attributions of a tree ensemble, from the attributes of its ONNX node.

A tree is the sum over its leaves of a value times the product of the path's conditions. Of the features on a path let
U be those whose conditions only the row meets, V those whose conditions only the background row meets; a feature whose
conditions neither meets makes the leaf unreachable by any mixture. The leaf is then reached by the coalitions that
hold all of U and none of V, a game whose Shapley values are

    value * (|U| - 1)! |V|! / (|U| + |V|)!    for a feature of U,
   -value * |U|! (|V| - 1)! / (|U| + |V|)!    for one of V,

and 0 for all others: interventional Tree SHAP, Lundberg et al., *From local explanations to global understanding with
explainable AI for trees* (2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import factorial
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from training.errors import NotExplainable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_COMPARISONS: Final = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}
_BLOCK: Final = 16_384
"""Conditions evaluated together; with a hundred background rows some megabytes."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Some leaves and the conditions of their paths: the ``i``-th is that ``node[i]`` decides ``wanted[i]``.

    Conditions of one feature on one path are neighbours, from ``slot_start`` on; so are a leaf's slots, from
    ``leaf_start`` on.
    """

    node: NDArray[np.intp]
    wanted: Bools
    slot_start: NDArray[np.intp]
    slot_leaf: NDArray[np.intp]
    slot_feature: NDArray[np.intp]
    leaf_start: NDArray[np.intp]
    value: Floats
    """The value of each leaf."""


@dataclass(frozen=True, slots=True)
class Trees:
    """A TreeEnsembleRegressor of one target: its leaves add up to its answer."""

    feature: NDArray[np.intp]
    threshold: NDArray[np.floating[Any]]
    comparison: NDArray[np.str_]
    missing_true: Bools
    blocks: tuple[Conditions, ...]
    constant: float
    """Added to every row: the base value, and trees that are a single leaf."""

    def decide(self, rows: NDArray[np.floating[Any]]) -> Bools:
        """Which way each node sends each of the rows [N, F], as ONNX Runtime does: [nodes, N]."""
        values = rows.T[self.feature]
        found = np.empty(values.shape, np.bool_)
        for name, compare in _COMPARISONS.items():
            own = self.comparison == name
            found[own] = compare(values[own], self.threshold[own, None])
        return np.asarray(found | (self.missing_true[:, None] & np.isnan(values)))

    def answer(self, rows: NDArray[np.floating[Any]]) -> Floats:
        """The ensemble's answers [N] to rows [N, F]."""
        decided = self.decide(rows)
        total = np.full(len(rows), self.constant)
        for block in self.blocks:
            reached = np.logical_and.reduceat(_met(block, decided), block.leaf_start, axis=0)
            total += block.value @ reached
        return total

    def attribute(self, rows: NDArray[np.floating[Any]], background: NDArray[np.floating[Any]]) -> Floats:
        """Contributions [N, F] to the answers to ``rows`` [N, F], against ``background`` [B, F]."""
        found = np.zeros(rows.shape)
        decided, decided_behind = self.decide(rows), self.decide(background)
        for block in self.blocks:
            behind = _met(block, decided_behind)
            for row, met in enumerate(_met(block, decided).T):
                contributions = _contributions(block, met, behind) / len(background)
                found[row] += np.bincount(block.slot_feature, contributions, rows.shape[1])
        return found


def _met(block: Conditions, decided: Bools) -> Bools:
    """Whether all conditions of a slot are met, [slots, N]."""
    return np.asarray(np.logical_and.reduceat(decided[block.node] == block.wanted[:, None], block.slot_start, axis=0))


def _contributions(block: Conditions, met: Bools, behind: Bools) -> Floats:
    """Each slot's part of one row's answer, summed over the background; ``met`` [slots], ``behind`` [slots, B]."""
    own, other = met[:, None] & ~behind, ~met[:, None] & behind
    u, v, neither = (
        np.add.reduceat(slots, block.leaf_start, axis=0, dtype=np.int16)
        for slots in (own, other, ~met[:, None] & ~behind)
    )
    most = int(max(u.max(), v.max()))
    of_u, of_v = (table[u, v] * (neither == 0) for table in _shapley_weights(most))
    of_slot = np.where(
        met,
        np.einsum("sb,sb->s", own, of_u[block.slot_leaf]),
        -np.einsum("sb,sb->s", other, of_v[block.slot_leaf]),
    )
    return np.asarray(of_slot * block.value[block.slot_leaf])


def _shapley_weights(most: int) -> tuple[Floats, Floats]:
    """(u - 1)! v! / (u + v)! and u! (v - 1)! / (u + v)! for all u and v up to ``most``."""
    of_u = np.zeros((most + 1, most + 1))
    for u in range(1, most + 1):
        for v in range(most + 1):
            of_u[u, v] = factorial(u - 1) * factorial(v) / factorial(u + v)
    return of_u, of_u.T


def read(node: onnx.NodeProto) -> Trees:
    """The ensemble of a TreeEnsembleRegressor node.

    Raises NotExplainable when its answer is no sum or mean over trees, or has several targets.
    """
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    transform = given.get("post_transform", b"NONE").decode()
    aggregate = given.get("aggregate_function", b"SUM").decode()
    if transform != "NONE" or aggregate not in ("SUM", "AVERAGE") or set(given["target_ids"]) != {0}:
        raise NotExplainable(
            f"its trees end in {transform} of the {aggregate.lower()}, which is no sum over one target"
        )
    modes = np.array([mode.decode() for mode in given["nodes_modes"]])
    own, constant = _leaf_values(given, len(modes))
    inner = np.flatnonzero(modes != "LEAF")
    number = np.full(len(modes), -1)
    number[inner] = np.arange(len(inner))
    leaves = list(_leaves(given, modes))
    tracks = np.array(given.get("nodes_missing_value_tracks_true") or np.zeros(len(modes)), np.bool_)
    feature = np.array(given["nodes_featureids"], np.intp)
    return Trees(
        feature=feature[inner],
        threshold=_read_numbers(given, "nodes_values")[inner],
        comparison=modes[inner],
        missing_true=tracks[inner],
        blocks=tuple(_blocks([leaf for leaf in leaves if leaf.path], number, feature, own)),
        constant=constant + float(sum(own[leaf.node] for leaf in leaves if not leaf.path)),
    )


def _read_numbers(given: Mapping[str, Any], name: str) -> NDArray[np.floating[Any]]:
    """Real values of an attribute: usually float32, float64 in the variant that takes double features."""
    tensor = given.get(f"{name}_as_tensor")
    if tensor is not None:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    return np.array(given.get(name, ()), np.float32)


def _leaf_values(given: Mapping[str, Any], nodes: int) -> tuple[Floats, float]:
    """What each node adds to the answer, [nodes], and what all rows start from."""
    at = {key: node for node, key in enumerate(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))}
    where = np.array([at[key] for key in zip(given["target_treeids"], given["target_nodeids"], strict=True)])
    values = np.asarray(
        np.bincount(where, _read_numbers(given, "target_weights").astype(np.float64), nodes), np.float64
    )
    if given.get("aggregate_function", b"SUM") == b"AVERAGE":
        values = values / len(set(given["nodes_treeids"]))
    return values, float(_read_numbers(given, "base_values").astype(np.float64).sum())


_Path = tuple[tuple[int, bool], ...]


class _Leaf(NamedTuple):
    node: int
    path: _Path


def _leaves(given: Mapping[str, Any], modes: NDArray[np.str_]) -> Iterator[_Leaf]:
    """Each leaf with the nodes above it and the way each must send a row."""
    trees = given["nodes_treeids"]
    at = {key: node for node, key in enumerate(zip(trees, given["nodes_nodeids"], strict=True))}
    seen: set[int] = set()
    for root, tree in enumerate(trees):
        if tree in seen:
            continue
        seen.add(tree)
        stack: list[tuple[int, _Path]] = [(root, ())]
        while stack:
            node, path = stack.pop()
            if modes[node] == "LEAF":
                yield _Leaf(node, path)
                continue
            for below, way in (("nodes_truenodeids", True), ("nodes_falsenodeids", False)):
                stack.append((at[tree, given[below][node]], (*path, (node, way))))


def _blocks(
    leaves: list[_Leaf], number: NDArray[np.intp], feature: NDArray[np.intp], value: Floats
) -> Iterator[Conditions]:
    """The leaves in blocks of about _BLOCK conditions; leaves that add nothing are left out."""
    part: list[_Leaf] = []
    size = 0
    for leaf in leaves:
        if value[leaf.node]:
            part.append(leaf)
            size += len(leaf.path)
        if size >= _BLOCK:
            yield _block(part, number, feature, value)
            part, size = [], 0
    if part:
        yield _block(part, number, feature, value)


def _block(leaves: list[_Leaf], number: NDArray[np.intp], feature: NDArray[np.intp], value: Floats) -> Conditions:
    rows = [(order, feature[node], number[node], way) for order, one in enumerate(leaves) for node, way in one.path]
    rows.sort(key=lambda row: row[:2])
    leaf, own_feature, node, wanted = (np.array(column) for column in zip(*rows, strict=True))
    slot_start = np.flatnonzero(np.append(True, (np.diff(leaf) != 0) | (np.diff(own_feature) != 0)))
    slot_leaf = leaf[slot_start]
    return Conditions(
        node=node,
        wanted=wanted,
        slot_start=slot_start,
        slot_leaf=slot_leaf,
        slot_feature=own_feature[slot_start],
        leaf_start=np.flatnonzero(np.append(True, np.diff(slot_leaf) != 0)),
        value=value[[one.node for one in leaves]],
    )
