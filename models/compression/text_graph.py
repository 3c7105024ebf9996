"""From a graph over chunks to one over texts: chunks pooled, embeddings normalised and, where wanted, a head on top."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput

FloatArray = NDArray[np.float32]


def pool_chunks(model: Any) -> Any:
    """An ``onnx.ModelProto`` with the output ``embedding`` (texts, width), rows of unit length, instead of ``mean``.

    It has the further input ``share`` (texts, chunks) float32: what each chunk counts in each text.
    """
    from onnx import TensorProto, helper

    pooled = _copied(model)
    graph = pooled.graph
    width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    _constant(graph, "text.axis", np.array([1], np.int64))
    _constant(graph, "text.least", np.array(1e-12, np.float32))
    graph.node.extend(
        [
            helper.make_node("MatMul", ["share", "mean"], ["text.total"], name="text.total"),
            helper.make_node("ReduceL2", ["text.total", "text.axis"], ["text.length"], name="text.length", keepdims=1),
            helper.make_node("Max", ["text.length", "text.least"], ["text.divisor"], name="text.divisor"),
            helper.make_node("Div", ["text.total", "text.divisor"], ["embedding"], name="embedding"),
        ]
    )
    graph.input.append(helper.make_tensor_value_info("share", TensorProto.FLOAT, ["texts", "batch"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", width]))
    return pooled


def add_head(model: Any, coef: FloatArray, intercept: FloatArray) -> Any:
    """The graph with the output ``probabilities`` (texts, classes) instead of ``embedding``.

    Args:
        model: What `pool_chunks` gave.
        coef: Weights of the classes, (classes, width).
        intercept: Shape (classes,).

    Raises:
        BadInput: The head is for embeddings of another width.
    """
    from onnx import TensorProto, helper

    headed = _copied(model)
    graph = headed.graph
    width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    if coef.shape != (len(intercept), width):
        raise BadInput(f"A head of shape {coef.shape} does not fit embeddings of {width} numbers.")
    _constant(graph, "head.coef", np.ascontiguousarray(coef.T, np.float32))
    _constant(graph, "head.intercept", np.ascontiguousarray(intercept, np.float32))
    graph.node.extend(
        [
            helper.make_node("Gemm", ["embedding", "head.coef", "head.intercept"], ["head.logits"], name="head.logits"),
            helper.make_node("Softmax", ["head.logits"], ["probabilities"], name="probabilities", axis=-1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["texts", len(intercept)]))
    return headed


def _copied(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def _constant(graph: Any, name: str, value: NDArray[Any]) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
