"""The operators that a model may be made of, and how to find those of a file without running it.

An allow-list: what is not named here is not loaded, wherever the file came from. Each answers the same row alike every
time, ends, and reads nothing but its inputs. The worker has no ``onnx``; this reads as much of ONNX's protobuf as holds
operators (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), and protobuf itself comes with ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from db_functions.errors import one_line

_ONNX_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv Cos Cosh
    CumProd CumSum DepthToSpace DequantizeLinear Det Div DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike
    Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LSTM
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul MatMulInteger Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearMatMul QuantizeLinear RNN
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape ReverseSequence Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh
    Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unique Unsqueeze Where Xor
"""
_ONNX_ML_NAMES = """
    ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder LinearClassifier
    LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier
    TreeEnsembleRegressor ZipMap
"""
ONNX: Final = frozenset(_ONNX_NAMES.split())
ONNX_ML: Final = frozenset(_ONNX_ML_NAMES.split())
ALLOWED: Final = {"": ONNX, "ai.onnx": ONNX, "ai.onnx.ml": ONNX_ML}
"""By domain. ``If`` is allowed; its branches are looked at."""

_MESSAGES: Final[dict[str, tuple[tuple[str, int, str | None, bool], ...]]] = {
    "Model": (("graph", 7, "Graph", False), ("training", 20, "Other", True), ("functions", 25, "Other", True)),
    "Graph": (("nodes", 1, "Node", True),),
    "Node": (("attributes", 5, "Attribute", True), ("op_type", 4, None, False), ("domain", 7, None, False)),
    "Attribute": (("graph", 6, "Graph", False), ("graphs", 11, "Graph", True)),
    "Other": (),
}
"""Name, number, message and repetition of the fields of ONNX's messages that lead to operators."""


def refused_operators(data: bytes) -> list[str]:
    """Why a file may not be loaded, by its operators; empty when all are allowed."""
    if data[4:8] == b"ORTM":
        return ["is of ONNX Runtime's own format; an ONNX file is needed"]
    model = _Model()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return ["is not an ONNX file"]
    if model.functions or model.training:
        return ["defines functions or training, which hide operators; inline the functions, export it for inference"]
    return [
        f"operator {one_line(f'{domain}.{name}', 100) if domain else one_line(name, 100)} is not allowed"
        for domain, name in dict.fromkeys(_operators(model.graph))
        if name not in ALLOWED.get(domain, ())
    ]


def _operators(graph: Any) -> Iterator[tuple[str, str]]:
    """Domain and name of every operator, those of inner graphs too."""
    for node in graph.nodes:
        yield node.domain.decode(errors="replace"), node.op_type.decode(errors="replace")
        for attribute in node.attributes:
            for inner in (attribute.graph, *attribute.graphs):
                yield from _operators(inner)


def _describe() -> Any:
    """The class of the messages above. Texts are bytes: a damaged name is no reason to fail."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="operators.proto", package="operators", syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, of, repeated in fields:
            described.field.add(
                name=name,
                number=number,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
                type=kinds.TYPE_MESSAGE if of else kinds.TYPE_BYTES,
                type_name=f".operators.{of}" if of else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("operators.Model"))


_Model: Final = _describe()
