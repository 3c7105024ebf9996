"""ONNX graphs of transformer students: word pieces in, probabilities out, in fp32 or with INT8 weights.

Kernels are quantised for each output with 7 bits, so that the 8-bit products of older processors do not saturate, and
the rows of the word table with 8, each with its own scale; activations as they come. Loud channels are turned down
before a product and its weights up (xiao2023). The head is small and stays in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.errors import ParityError
from models.minilm_graph import BertGraph, activation_names, add_encoder
from models.students.protocol import FloatArray, RawItem
from models.students.transformer import TransformerNetwork

OPSET, IR_VERSION = 20, 10
_CONTRIB = "com.microsoft"
_BITS = 7
_LOUDNESS_ITEMS = 200
_LINEAR = ("heads", "mixed", "inner", "outer")
_P = TypeVar("_P", bound=Any)


def build_transformer(
    network: TransformerNetwork,
    int8: Collection[str] = (),
    *,
    amplitudes: Mapping[str, FloatArray] | None = None,
    outputs: Sequence[str] = (),
) -> onnx.ModelProto:
    """The graph of a transformer student: ``input`` int64 (items, ids), 0 for padding; ``probabilities`` (items, C).

    Args:
        network: What to export.
        int8: Which of `quantised_names` are to be quantised.
        amplitudes: Largest absolute value of each channel, by activation (`models.minilm_graph.activation_names`).
        outputs: Further activations to give out after the probabilities.
    """
    names = quantised_names(network)
    graph = BertGraph(
        _BITS if int8 else None,
        amplitudes or {},
        kept=set(names) - set(int8),
        head_width=network.head.in_features // network.heads,
        epsilon=network.epsilon,
    )
    weights = {name: array for name, array in network.arrays().items() if array.dtype == np.float32}
    # The types' embedding lies in the positions' already.
    dim = weights["head.weight"].shape[1]
    weights["embeddings.token_type_embeddings.weight"] = np.zeros((1, dim), np.float32)
    ids = graph.node("Identity", ["input"], "ids")
    present = graph.node("Greater", [ids, graph.weight("padding", np.array(0, np.int64))], "present")
    graph.node("Cast", [present], "mask", to=TensorProto.INT64)
    mean = add_encoder(graph, weights)
    scale = np.float32(network.scale)
    product = graph.node(
        "MatMul", [mean, graph.weight("head.kernel", weights["head.weight"].T * scale)], "head.product"
    )
    logits = graph.node("Add", [product, graph.weight("head.bias", weights["head.bias"] * scale)], "head")
    graph.node("Softmax", [logits], "probabilities", axis=-1)
    return _assembled(graph, network, outputs)


def _assembled(graph: BertGraph, network: TransformerNetwork, outputs: Sequence[str]) -> onnx.ModelProto:
    made = helper.make_graph(
        graph.nodes,
        f"student-{network.family}",
        [helper.make_tensor_value_info("input", TensorProto.INT64, ["items", "ids"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["items", network.n_classes])]
        + [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["items", "ids", None]) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in graph.weights.items()],
    )
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(_CONTRIB, 1)]
    model = helper.make_model(made, opset_imports=imports, ir_version=IR_VERSION)
    model.producer_name = "winnow"
    return model


def quantised_names(network: TransformerNetwork) -> list[str]:
    """What can be quantised: the word table and the linear layers."""
    return ["words", *(f"layer{layer}.{part}" for layer in range(network.depth) for part in _LINEAR)]


def measure_amplitudes(network: TransformerNetwork, items: Sequence[RawItem]) -> dict[str, FloatArray]:
    """The largest absolute value of each channel over some texts, by activation; nothing without texts."""
    import onnxruntime

    names = activation_names(network.depth)
    model = build_transformer(network, outputs=names).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = network.prepare(items[:_LOUDNESS_ITEMS])
    loudest: dict[str, NDArray[Any]] = {}
    for row in range(len(inputs)):  # one by one: padding has activations too
        ids = inputs.batch(np.array([row]))[0].numpy()
        for name, values in zip(names, session.run(names, {"input": ids}), strict=True):
            loudest[name] = np.maximum(loudest.get(name, 0), np.abs(values[0]).max(axis=0))
    return loudest


def compress_transformer(
    network: TransformerNetwork, judge: Callable[[bytes], _P], calibration: Sequence[RawItem] | None
) -> tuple[bytes, _P, dict[str, str]]:
    """Quantise as many layers of a transformer student as the parity rule allows.

    Args:
        network: The fp32 student's.
        judge: Says of a graph how near it is to the student: something with ``agreement``, ``accuracy`` and
            ``failure`` (None where it may be handed out).
        calibration: Items that show how loud each channel is; None leaves everything in fp32.

    Returns:
        The graph, what the judge said of it, and how each layer is stored.

    Raises:
        ParityError: even with all layers in fp32 the graph does not predict what the student does.
    """
    names = quantised_names(network)
    amplitudes = measure_amplitudes(network, calibration) if calibration else {}

    def attempt(wanted: Collection[str]) -> tuple[bytes, _P, dict[str, str]]:
        model = build_transformer(network, wanted, amplitudes=amplitudes).SerializeToString(deterministic=True)
        stored = {name: "int8" if name in wanted else "fp32" for name in [*names, "head"]}
        return model, judge(model), stored

    wanted = list(names) if calibration is not None else []
    result = attempt(wanted)
    if result[1].failure and len(wanted) > 1:
        # The layer that does most harm alone is the first to stay fp32.
        alone = {name: attempt([name])[1] for name in wanted}
        wanted.sort(key=lambda name: (alone[name].agreement, alone[name].accuracy or 0.0), reverse=True)
    while result[1].failure and wanted:
        wanted.pop()
        result = attempt(wanted)
    if result[1].failure:
        raise ParityError(result[1].failure + ", with every layer in fp32")
    return result
