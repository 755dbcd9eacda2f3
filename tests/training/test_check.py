"""A zoo of broken models: each is refused, and for its own reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from db_functions.errors import InvalidModel
from db_functions.golden import Golden
from tests.training_support import small_export
from training import cli
from training.check import check_model, read_checked, require_valid
from training.describe import describe
from training.errors import ParityFailed, Unreadable
from training.registry import read_golden
from training.verify import check_parity

Graph = onnx.GraphProto


def _metadata(**changes: str | None) -> dict[str, str]:
    found: dict[str, str | None] = {"contract_version": "1", "model_version": "zoo-1", "min_bars": "30", **changes}
    return {key: value for key, value in found.items() if value is not None}


def _nodes() -> list[onnx.NodeProto]:
    """ml_confidence is the rule confidence, one half where there is none."""
    return [
        helper.make_node("IsNaN", ["rule_confidence"], ["missing"]),
        helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.array(0.5))),
        helper.make_node("Where", ["missing", "half", "rule_confidence"], ["known"]),
        helper.make_node("Cast", ["known"], ["ml_confidence"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.array(1, np.float32))),
        helper.make_node("Sub", ["one", "ml_confidence"], ["other"]),
        helper.make_node("Sub", ["other", "other"], ["nothing"]),
        helper.make_node("Constant", [], ["axis"], value=numpy_helper.from_array(np.array([1]))),
        *(
            helper.make_node("Unsqueeze", [name, "axis"], [f"{name}_column"])
            for name in ("other", "nothing", "ml_confidence")
        ),
        helper.make_node(
            "Concat", ["other_column", "nothing_column", "ml_confidence_column"], ["probabilities"], axis=1
        ),
    ]


def _model(
    nodes: list[onnx.NodeProto] | None = None,
    *,
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: list[onnx.ValueInfoProto] | None = None,
    metadata: dict[str, str] | None = None,
    opsets: dict[str, int] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        _nodes() if nodes is None else nodes,
        "zoo",
        inputs or [helper.make_tensor_value_info("rule_confidence", TensorProto.DOUBLE, ["N"])],
        outputs
        or [
            helper.make_tensor_value_info("ml_confidence", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3]),
        ],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in (opsets or {"": 21}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    helper.set_model_props(model, _metadata() if metadata is None else metadata)
    return model


def _bytes(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString()
    return data


def _confidence_from(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """The sound model, but ``known`` (float64 [N]) is made by ``nodes`` from ``was_known``."""
    changed = _nodes()
    changed[2].output[0] = "was_known"
    return _model([*changed[:3], *nodes, *changed[3:]])


def _constant(name: str, value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def test_a_sound_model_by_hand_passes() -> None:
    assert check_model(_bytes(_model())) == []


def test_a_trained_model_passes() -> None:
    assert check_model(small_export().onnx) == []
    require_valid(small_export().onnx)


def _loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Identity", ["carried"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.DOUBLE, ["N"]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.DOUBLE, ["N"]),
        ],
    )
    return _confidence_from(
        _constant("for_ever", True), helper.make_node("Loop", ["", "for_ever", "was_known"], ["known"], body=body)
    )


def _branch(operator: str) -> onnx.ModelProto:
    """An ``If`` with ``operator`` inside."""

    def side(name: str) -> Graph:
        node = helper.make_node(operator, ["was_known"], [f"{name}_out"])
        return helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(f"{name}_out", TensorProto.DOUBLE, ["N"])]
        )

    return _confidence_from(
        _constant("yes", True),
        helper.make_node("If", ["yes"], ["known"], then_branch=side("then"), else_branch=side("else")),
    )


def _external(in_branch: bool, flagged: bool = True) -> onnx.ModelProto:
    model = _branch("Identity") if in_branch else _model()
    graph = model.graph.node[4].attribute[0].g if in_branch else model.graph
    tensor = graph.initializer.add()
    tensor.name, tensor.data_type = "secrets", TensorProto.FLOAT
    tensor.dims.append(1)
    if flagged:
        tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "passwords.txt"
    return model


def _functions() -> onnx.ModelProto:
    model = _model(opsets={"": 21, "ai.onnx.ml": 3})
    body = [helper.make_node("Identity", ["a"], ["b"])]
    model.functions.append(
        helper.make_function("ai.onnx.ml", "Mine", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    )
    return model


def _custom() -> onnx.ModelProto:
    model = _confidence_from(helper.make_node("Mine", ["was_known"], ["known"], domain="my.domain"))
    model.opset_import.append(helper.make_opsetid("my.domain", 1))
    return model


def _sixgigabytes() -> onnx.ModelProto:
    return _confidence_from(
        _constant("shape", np.array([800_000_000])),
        helper.make_node("ConstantOfShape", ["shape"], ["huge"], value=numpy_helper.from_array(np.array([1.0]))),
        helper.make_node("ReduceMean", ["huge"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["was_known", "mean"], ["known"]),
    )


def _batch_mean() -> onnx.ModelProto:
    return _confidence_from(
        helper.make_node("ReduceMean", ["was_known"], ["mean"], keepdims=0),
        _constant("none", 0.0),
        helper.make_node("Mul", ["was_known", "none"], ["zeros"]),
        helper.make_node("Add", ["zeros", "mean"], ["known"]),
    )


def _without_nan_handling() -> onnx.ModelProto:
    nodes = _nodes()
    nodes[3].input[0] = "rule_confidence"
    return _model(nodes)


def _doubled() -> onnx.ModelProto:
    return _confidence_from(_constant("two", 2.0), helper.make_node("Mul", ["was_known", "two"], ["known"]))


def _input(name: str, kind: int, shape: list[str | int]) -> onnx.ModelProto:
    given = helper.make_tensor_value_info(name, kind, shape)
    return _model(inputs=[helper.make_tensor_value_info("rule_confidence", TensorProto.DOUBLE, ["N"]), given])


def _features(names: str | None, width: int = 1) -> onnx.ModelProto:
    outputs = [*_model().graph.output, helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])]
    nodes = [*_nodes(), helper.make_node("Identity", ["ml_confidence_column"], ["features"])]
    return _model(nodes, outputs=outputs, metadata=_metadata(feature_names=names))


ZOO: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "loop": (_loop, "operator Loop is not allowed"),
    "random": (
        lambda: _confidence_from(helper.make_node("RandomUniformLike", ["was_known"], ["known"])),
        "operator RandomUniformLike is not allowed: the same row must always get the same answer",
    ),
    "random in a branch": (lambda: _branch("RandomUniformLike"), "operator RandomUniformLike is not allowed"),
    "unknown operator": (
        lambda: _confidence_from(helper.make_node("Oracle", ["was_known"], ["known"])),
        "operator Oracle is not known to ONNX",
    ),
    "custom domain": (_custom, "imports the operator domain 'my.domain'"),
    "functions": (_functions, "the model defines functions"),
    "external data": (lambda: _external(in_branch=False), "tensor 'secrets' keeps its data in another file"),
    "external data in a branch": (lambda: _external(in_branch=True), "tensor 'secrets' keeps its data in another file"),
    "external data unflagged": (lambda: _external(in_branch=False, flagged=False), "tensor 'secrets' keeps its data"),
    "no contract version": (
        lambda: _model(metadata=_metadata(contract_version=None)),
        "does not say its contract version",
    ),
    "later contract": (lambda: _model(metadata=_metadata(contract_version="2")), "is for contract version '2'"),
    "no model version": (lambda: _model(metadata=_metadata(model_version=" ")), "metadata 'model_version' must name"),
    "model version with a space": (
        lambda: _model(metadata=_metadata(model_version="spring 1")),
        "letters, digits and . _ + -, a letter or digit first, not 'spring 1'",
    ),
    "later operators": (lambda: _model(opsets={"": 999}), "operator set 999"),
    "no min bars": (lambda: _model(metadata=_metadata(min_bars=None)), "'min_bars' must be a whole number from 1 to"),
    "many min bars": (lambda: _model(metadata=_metadata(min_bars="129")), "'min_bars' must be a whole number from 1"),
    "features unnamed": (lambda: _features(None), "'feature_names' does not name them"),
    "features misnamed": (lambda: _features('["a", "b"]'), "names 2 features but the output 'features' has 1 columns"),
    "features not JSON": (lambda: _features("a, b"), "'feature_names' must be a JSON array of names"),
    "features named twice": (lambda: _features('["a", "a"]', 2), "names a feature twice"),
    "unknown input": (lambda: _input("tomorrow", TensorProto.DOUBLE, ["N"]), "input 'tomorrow' is not in the contract"),
    "wrong input type": (lambda: _input("direction", TensorProto.FLOAT, ["N"]), "input 'direction' is float32"),
    "wrong input shape": (lambda: _input("levels", TensorProto.DOUBLE, ["N", 4]), "input 'levels' has 4 on axis 1"),
    "wrong input rank": (lambda: _input("levels", TensorProto.DOUBLE, ["N"]), "input 'levels' has 1 axes ['N']"),
    "wrong window": (lambda: _input("bars", TensorProto.DOUBLE, ["N", 64, 5]), "input 'bars' has 64 on axis 1"),
    "fixed batch": (lambda: _input("direction", TensorProto.DOUBLE, [8]), "'direction' fixes the batch at 8"),
    "no confidence": (
        lambda: _model(outputs=[helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])]),
        "output 'ml_confidence' is missing",
    ),
    "no probabilities": (
        lambda: _model(outputs=[helper.make_tensor_value_info("ml_confidence", TensorProto.FLOAT, ["N"])]),
        "output 'probabilities' is missing",
    ),
    "invalid graph": (
        lambda: _model([*_nodes(), helper.make_node("Identity", ["nowhere"], ["x"])]),
        "ONNX finds the model invalid",
    ),
    "six gigabytes": (_sixgigabytes, "Failed to allocate memory"),
    "not alone": (_batch_mean, "of a row changes by"),
    "NaN out": (_without_nan_handling, "they must be finite, sum to 1"),
    "beyond one": (_doubled, "they must be finite, sum to 1"),
}


@pytest.mark.parametrize("kind", ZOO)
def test_the_zoo(kind: str) -> None:
    make, reason = ZOO[kind]
    faults = check_model(_bytes(make()))
    # A foreign domain is a fault where it is imported and where it is used; nothing else is said twice.
    assert len(faults) == (2 if kind == "custom domain" else 1), faults
    assert reason in faults[0]


@pytest.mark.parametrize("kind", [kind for kind, (_, reason) in ZOO.items() if reason.startswith(("input", "output"))])
def test_a_fault_of_the_signature_stands_beside_its_tensor(kind: str) -> None:
    make, reason = ZOO[kind]
    lines = describe(_bytes(make()))
    (wrong,) = (line for line in lines if line.faults)
    assert reason in wrong.faults[0]
    assert repr(wrong.name) in reason
    assert wrong.kind == reason.split()[0]


def test_a_sound_model_is_as_agreed_tensor_by_tensor() -> None:
    described = [(line.kind, line.name, line.given, line.faults) for line in describe(_bytes(_model()))]
    assert described == [
        ("input", "rule_confidence", "float64 [N]", ()),
        ("output", "ml_confidence", "float32 [N]", ()),
        ("output", "probabilities", "float32 [N, 3]", ()),
    ]
    assert describe(b"no model") == []


def test_check_prints_every_tensor_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_bytes(ZOO["wrong window"][0]()))
    assert cli.main(["check", str(path)]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 5
    assert printed[1].split()[:2] == ["input", "bars"]
    assert printed[1].endswith("input 'bars' has 64 on axis 1; it must be float64 [N, 128, 5]")
    assert printed[4] == f"{path}: may not be registered"


def test_a_branch_of_allowed_operators_passes() -> None:
    assert check_model(_bytes(_branch("Identity"))) == []


def test_an_endless_model_is_stopped() -> None:
    """Not one that the operator list would catch: a great product, repeated."""
    size = 3_000
    nodes = [
        _constant("shape", np.array([size, size])),
        helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=numpy_helper.from_array(np.array([0.5]))),
        # Fed by an input, so that the runtime cannot fold it while loading either way.
        *(helper.make_node("MatMul", [f"m{n}", f"m{n}"], [f"m{n + 1}"]) for n in range(40)),
        helper.make_node("ReduceMean", ["m40"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["was_known", "mean"], ["known"]),
    ]
    (fault,) = check_model(_bytes(_confidence_from(*nodes)), timeout_s=2)
    assert "within 2 s" in fault or "killed the process" in fault


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    path.write_bytes(bytes(3_000_000))
    data, (fault,) = read_checked(path, max_bytes=2_000_000)
    assert data == b""
    assert fault.startswith("the model has 2.9 MB; at most 1.9")
    assert check_model(bytes(3_000_000), max_bytes=2_000_000) == [fault]


@pytest.mark.parametrize("data", [b"", b"\x00\x01garbage", b"PK\x03\x04 a zip", json.dumps({"a": 1}).encode()])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    (fault,) = check_model(data)
    assert "not an ONNX model" in fault or "holds no graph" in fault


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no broken contract: there is no file to judge."""
    for path, said in ((tmp_path / "nothing.onnx", "No such file"), (tmp_path, "not a regular file")):
        with pytest.raises(Unreadable, match=f"cannot be read.*{said}"):
            read_checked(path)
        assert cli.main(["check", str(path)]) == 1
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert "contract" not in printed.out


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(Unreadable, match="regular"):
        read_checked(tmp_path / "pipe.onnx")


@cache
def _as_converters_write_it() -> bytes:
    """A label, and maps of probabilities, of an input ``X``: what skl2onnx writes of a classifier by default."""
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    data: bytes = to_onnx(LogisticRegression().fit(X, X[:, 0] > 0), X[:1]).SerializeToString()
    return data


def test_what_skl2onnx_writes_by_default_is_told_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "default.onnx"
    path.write_bytes(_as_converters_write_it())
    assert cli.main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    for said in ("training.publish", "'zipmap': False", "input   X", "sequence"):
        assert said in printed


def test_damaged_files_are_faulty_and_never_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, rng = _as_converters_write_it(), np.random.default_rng(1)
    path = tmp_path / "damaged.onnx"
    for number in range(150):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if number % 2 else whole)
        for place in rng.integers(0, len(damaged), number % 5):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        assert cli.main(["check", str(path)]) == 1
        assert capsys.readouterr().out


def test_require_valid_lists_every_fault() -> None:
    model = _model(metadata={})
    with pytest.raises(InvalidModel, match=r"contract version.*model_version.*min_bars"):
        require_valid(_bytes(model))


def test_golden_rows_may_come_with_the_file(tmp_path: Path) -> None:
    model, rows = tmp_path / "model.onnx", tmp_path / "rows.npz"
    model.write_bytes(_bytes(_model()))
    rule = np.array([0.25, np.nan, 1.0])
    confidence = np.array([0.25, 0.5, 1.0], np.float32)
    answers = {
        "ml_confidence": confidence,
        "probabilities": np.stack([1 - confidence, 0 * confidence, confidence], axis=1),
    }
    golden = Golden({"rule_confidence": rule}, answers)
    rows.write_bytes(golden.to_bytes())
    assert read_golden(rows, ["rule_confidence"]).outputs["ml_confidence"].tolist() == [0.25, 0.5, 1.0]
    assert check_parity(model.read_bytes(), golden).max_abs_diff == 0
    answers["ml_confidence"][2] = 0.99
    with pytest.raises(ParityFailed, match=r"by 0\.01 .* 'ml_confidence', golden row 2"):
        check_parity(model.read_bytes(), golden)


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"bars": np.zeros((2, 128, 5))}, {}, "lack rule_confidence, ml_confidence, probabilities"),
        ({"rule_confidence": np.zeros(2, np.float32)}, None, r"rule_confidence is float32 \[2\], not float64 \[N\]"),
        ({"rule_confidence": np.zeros((2, 1))}, None, r"rule_confidence is float64 \[2, 1\], not float64 \[N\]"),
    ],
)
def test_golden_rows_that_the_worker_could_not_feed_are_refused(
    tmp_path: Path, inputs: dict[str, Any], outputs: dict[str, Any] | None, said: str
) -> None:
    rows = tmp_path / "rows.npz"
    whole = {"ml_confidence": np.zeros(2, np.float32), "probabilities": np.zeros((2, 3), np.float32)}
    rows.write_bytes(Golden(inputs, whole if outputs is None else {"features": np.zeros((2, 1))}).to_bytes())
    with pytest.raises(InvalidModel, match=said):
        read_golden(rows, ["rule_confidence"])
    with pytest.raises(InvalidModel, match="holds no golden rows"):
        read_golden(tmp_path / "nothing.npz", [])
