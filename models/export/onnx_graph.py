"""ONNX graphs of students, node by node: a tenth of a second, where tracing the network would take ten.

The quantised form is QDQ: activations uint8 with a range seen in calibration, weights int8 with a scale for each output
channel. `predict.py` has the weights turned into floats once, at loading; other programs may compute in integers. A
hashed table is int8 with a scale for each column, which is applied once after the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.export.layers import Conv, Dense, Layer, Normalise, Standardise, Table, Words, layers_of
from models.export.transformer_graph import build_transformer
from models.students.convnet import ConvNetwork
from models.students.mlp import MlpNetwork
from models.students.protocol import FloatArray, Network
from models.students.static import StaticNetwork
from models.students.student import Student
from models.students.transformer import TransformerNetwork
from predictor.words import WORD_EXPRESSION

INPUT, OUTPUT = "input", "probabilities"
OPSET, IR_VERSION = 17, 8  # old enough for any onnxruntime of the last years
Range = tuple[float, float]

_ML, _CONTRIB = "ai.onnx.ml", "com.microsoft"
_OPSETS = {"": OPSET, _ML: 2, _CONTRIB: 1}

_WEIGHT_LIMIT = 63
"""Weights of 7 bits: older processors add two uint8 × int8 products in 16 bits, where 8 could overflow."""
_TABLE_LIMIT = 127


def build_graph(
    student: Student, int8: Mapping[str, Range | None] | None = None, *, texts: bool = True
) -> onnx.ModelProto:
    """The graph of a student: input ``input``, output ``probabilities`` float32 (n, classes).

    Args:
        student: What to export.
        int8: Layers to quantise, each with the range of its input (None for a table). Others stay fp32.
        texts: Whether splitting and look-up are in it where the student can have them there; else ids go in.
    """
    network = student.network
    if isinstance(network, TransformerNetwork):
        return build_transformer(network)
    build = _Builder(int8 or {})
    value = INPUT
    for layer in layers_of(network):
        if texts or not isinstance(layer, Words):
            value = build.add(layer, value)
    build.node("Softmax", [value], OUTPUT, axis=-1)
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["items", network.n_classes])
    graph = helper.make_graph(
        build.nodes, f"student-{network.family}", [_input(network, texts)], [output], build.initializers
    )
    opsets = [helper.make_opsetid(domain, _OPSETS[domain]) for domain in sorted({node.domain for node in build.nodes})]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "winnow"
    return model


def _input(network: Network, texts: bool) -> onnx.ValueInfoProto:
    if isinstance(network, ConvNetwork):
        shape: list[int | str] = ["items", len(network.mean), *network.size]
        return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)
    if isinstance(network, MlpNetwork):
        return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["items", len(network.center)])
    if isinstance(network, StaticNetwork) and network.splits_texts and texts:
        return helper.make_tensor_value_info(INPUT, TensorProto.STRING, ["items"])
    return helper.make_tensor_value_info(INPUT, TensorProto.INT64, ["items", "ids"])


def quantise_weights(weight: FloatArray, axis: int, limit: int = _WEIGHT_LIMIT) -> tuple[NDArray[np.int8], FloatArray]:
    """Symmetric int8 weights and the scale of each channel along ``axis``: weight ≈ int8 · scale.

    >>> q, scale = quantise_weights(np.array([[1.0, 10.0], [-0.5, 5.0]], np.float32), axis=1, limit=100)
    >>> q.tolist(), scale.tolist()
    ([[100, 100], [-50, 50]], [0.009999999776482582, 0.10000000149011612])
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.maximum(np.abs(weight).max(others), 1e-12).astype(np.float32) / np.float32(limit)
    shape = [1] * weight.ndim
    shape[axis] = -1
    quantised = np.clip(np.rint(weight / scale.reshape(shape)), -limit, limit).astype(np.int8)
    return quantised, scale


def activation_scale(seen: Range) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of uint8 activations for a range, which is widened to hold zero."""
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    scale = np.float32(max(high - low, 1e-8) / 255.0)
    return scale, np.uint8(np.clip(np.rint(-low / scale), 0, 255))


class _Builder:
    """Collects nodes and constants under names of its own."""

    def __init__(self, int8: Mapping[str, Range | None]):
        self.int8 = int8
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: set[str] = set()
        self._maps = False  # whether what comes out of the layers so far are maps, which a dense layer reads as one row

    def node(self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        name = f"{kind}:{output}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def add(self, layer: Layer, value: str) -> str:
        if isinstance(layer, Table):
            return self._table(layer, value)
        if isinstance(layer, Words):
            return self._words(layer, value)
        if isinstance(layer, Normalise):
            gain, shift = self.constant("gain", layer.gain), self.constant("shift", layer.shift)
            return self.node("LayerNormalization", [value, gain, shift], "normalised", epsilon=layer.epsilon)
        if isinstance(layer, Standardise):
            shifted = self.node("Sub", [value, self.constant("center", layer.center)], "shifted")
            return self.node("Mul", [shifted, self.constant("factor", 1 / layer.spread)], "standardised")
        return self._conv(layer, value) if isinstance(layer, Conv) else self._dense(layer, value)

    def _words(self, layer: Words, texts: str) -> str:
        # The C locale makes A to Z small on every machine; forms in other letters stand in the table as they may come.
        small = self.node("StringNormalizer", [texts], "small", case_change_action="LOWER", locale="C")
        split = {"tokenexp": WORD_EXPRESSION, "mark": 0, "mincharnum": 1, "pad_value": ""}
        words = self.node("Tokenizer", [small], "words", domain=_CONTRIB, **split)
        keys = {"keys_strings": layer.forms, "values_int64s": layer.rows, "default_int64": 0}
        return self.node("LabelEncoder", [words], "ids", domain=_ML, **keys)

    def _table(self, layer: Table, ids: str) -> str:
        words = self.constant("axis1", np.array([1], np.int64))
        present = self.node("Greater", [ids, self.constant("padding", np.array(0, np.int64))], "present")
        present = self.node("Cast", [present], "present_f", to=TensorProto.FLOAT)
        count = self.node("ReduceSum", [present, words], "count", keepdims=1)
        count = self.node("Max", [count, self.constant("one", np.array(1, np.float32))], "count_or_one")
        if layer.name in self.int8:
            table, scale = quantise_weights(layer.weight, 1, _TABLE_LIMIT)
            rows = self.node("Gather", [self.constant("table", table), ids], "rows_int8")
            rows = self.node("Cast", [rows], "rows", to=TensorProto.FLOAT)
            total = self.node("ReduceSum", [rows, words], "total_int8", keepdims=0)
            total = self.node("Mul", [total, self.constant("table_scale", scale)], "total")
        else:
            rows = self.node("Gather", [self.constant("table", layer.weight), ids], "rows")
            total = self.node("ReduceSum", [rows, words], "total", keepdims=0)
        mean = self.node("Div", [total, count], "mean")
        if layer.bias is None:
            return mean
        return self.node("Add", [mean, self.constant("bias", layer.bias)], "logits")

    def _conv(self, layer: Conv, value: str) -> str:
        self._maps = True
        name = layer.name
        pads: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        seen = self.int8.get(name)
        if seen is None:
            inputs = [value, self.constant(f"{name}_w", layer.weight), self.constant(f"{name}_b", layer.bias)]
        else:
            scale, zero = activation_scale(seen)
            value = self._quantised(value, name, scale, zero)
            weight, scales = quantise_weights(layer.weight, 0)
            bias_scale = scales * scale
            bias = np.rint(layer.bias.astype(np.float64) / bias_scale).clip(-(2**31) + 1, 2**31 - 1).astype(np.int32)
            inputs = [
                value,
                self._dequantised(f"{name}_w", weight, scales, axis=0),
                self._dequantised(f"{name}_b", bias, bias_scale, axis=0),
            ]
        convolved = self.node("Conv", inputs, f"{name}_conv", **pads)
        rectified = self.node("Relu", [convolved], f"{name}_relu")
        return self.node("MaxPool", [rectified], f"{name}_out", kernel_shape=[2, 2], strides=[2, 2])

    def _dense(self, layer: Dense, value: str) -> str:
        name = layer.name
        flat = self.node("Flatten", [value], f"{name}_in", axis=1) if self._maps else value
        seen = self.int8.get(name)
        if seen is None:
            weight = self.constant(f"{name}_w", layer.weight)
        else:
            flat = self._quantised(flat, name, *activation_scale(seen))
            quantised, scales = quantise_weights(layer.weight, 1)
            weight = self._dequantised(f"{name}_w", quantised, scales, axis=1)
        product = self.node("MatMul", [flat, weight], f"{name}_product")
        out = self.node("Add", [product, self.constant(f"{name}_b", layer.bias)], f"{name}_sum")
        self._maps = False
        return self.node("Relu", [out], f"{name}_relu") if layer.relu else out

    def _quantised(self, value: str, name: str, scale: np.float32, zero: np.uint8) -> str:
        constants = [self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero", zero)]
        small = self.node("QuantizeLinear", [value, *constants], f"{name}_q")
        return self.node("DequantizeLinear", [small, *constants], f"{name}_dq")

    def _dequantised(self, name: str, value: NDArray[Any], scales: FloatArray, axis: int) -> str:
        zeros = np.zeros(len(scales), value.dtype)
        constants = [
            self.constant(name, value),
            self.constant(f"{name}_scale", scales),
            self.constant(f"{name}_zero", zeros),
        ]
        return self.node("DequantizeLinear", constants, f"{name}_dq", axis=axis)
