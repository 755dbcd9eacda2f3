"""A worker loads a model of known operators only, whoever put its file into the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from db_functions.database import Connection
from db_functions.errors import InvalidModel
from db_functions.model import load
from db_functions.operators import ALLOWED, refused_operators
from tests.support import insert_bars, insert_pattern, make_champion, row_of, small_model
from tests.worker_support import count
from worker.serving.engine import Engine


def _beside(*nodes: onnx.NodeProto, opsets: dict[str, int] | None = None) -> bytes:
    """The small model with more nodes, which do not change its answers."""
    model = onnx.load_from_string(small_model("foreign"))
    model.graph.node.extend(nodes)
    for domain, version in (opsets or {}).items():
        model.opset_import.append(helper.make_opsetid(domain, version))
    return bytes(model.SerializeToString())


def _random() -> bytes:
    return _beside(helper.make_node("RandomNormal", [], ["noise"], shape=[2]))


def _of_the_runtime() -> bytes:
    node = helper.make_node("Gelu", ["logit"], ["gelu"], domain="com.microsoft")
    return _beside(node, opsets={"com.microsoft": 1})


def _in_a_branch() -> bytes:
    def branch(*nodes: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph(
            [*nodes], "branch", [], [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)]
        )

    yes = branch(helper.make_node("RandomUniform", [], ["answer"], shape=[1]))
    no = branch(helper.make_node("Constant", [], ["answer"], value=numpy_helper.from_array(np.zeros(1, np.float32))))
    truth = helper.make_node("Constant", [], ["truth"], value=numpy_helper.from_array(np.array(True)))
    return _beside(truth, helper.make_node("If", ["truth"], ["branched"], then_branch=yes, else_branch=no))


def _in_a_function() -> bytes:
    model = onnx.load_from_string(_beside(helper.make_node("Noise", [], ["noise"], domain="mine"), opsets={"mine": 1}))
    inner = helper.make_node("RandomNormal", [], ["noise"], shape=[2])
    model.functions.append(helper.make_function("mine", "Noise", [], ["noise"], [inner], [helper.make_opsetid("", 18)]))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("make", [_random, _of_the_runtime, _in_a_branch, _in_a_function])
def test_a_foreign_operator_registered_by_sql_is_not_loaded(connection: Connection, make: Callable[[], bytes]) -> None:
    data = make()
    with pytest.raises(InvalidModel, match=r"not allowed|functions"):
        load(0, "foreign", data, hashlib.sha256(data).hexdigest())
    insert_bars(connection)
    make_champion(connection, "foreign", data)
    pattern = insert_pattern(connection)
    engine = Engine(connection)
    engine.refresh_model()
    engine.score_queue()
    assert row_of(connection, pattern, "ml_confidence", "ml_metadata ->> 'reason' as reason") == {
        "ml_confidence": None,
        "reason": "no_model",
    }
    assert count(connection, "ml.predictions") == 0


def test_neither_the_format_of_the_runtime_nor_damage_gets_around_it() -> None:
    good = small_model("good")
    assert refused_operators(good) == []
    assert refused_operators(b"\x20\0\0\0ORTM" + good)
    assert refused_operators(good[:-7])
    with pytest.raises(InvalidModel):
        load(0, "cut", good[:-7], hashlib.sha256(good[:-7]).hexdigest())


def test_every_name_on_the_list_is_an_operator() -> None:
    for domain in ("", "ai.onnx.ml"):
        known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == domain}
        assert ALLOWED[domain] <= known
