"""MiniLM, and students cut from a BERT, as ONNX graphs built from their weights: no tracing, always the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, WIDTH, MAX_POSITIONS = 6, 12, 384, 512
HEAD_WIDTH = WIDTH // HEADS
_EPSILON = 1e-12
_OPSET = 20
_LOUD = 1.5
_CONTRIB = "com.microsoft"

FloatArray = NDArray[np.float32]
Ranges = Mapping[str, tuple[FloatArray, FloatArray]]
"""Smallest and largest value seen in each channel, by the name of the activation."""


@dataclass
class BertGraph:
    """Nodes and weights as they are strung together; every method returns the name of its output.

    Attributes:
        bits: What weights are quantised to; None leaves them in fp32.
        amplitudes: Largest activation seen in each channel, by the name of the activation.
        ranges: Where given, activations named here are quantised by these instead of by what each batch holds.
        kept: Names of tables and linear layers that stay in fp32.
        head_width: Of the attention: there are as many heads as a layer's width holds.
        epsilon: Of the normalisations.
    """

    bits: int | None
    amplitudes: Mapping[str, FloatArray]
    ranges: Ranges = field(default_factory=dict)
    kept: Collection[str] = ()
    head_width: int = HEAD_WIDTH
    epsilon: float = _EPSILON
    nodes: list[Any] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """A constant."""
        self.weights[name] = np.ascontiguousarray(value)
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """One operation, named as its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def dense(self, x: str, name: str, kernel: FloatArray, bias: FloatArray) -> str:
        """A linear layer; ``kernel`` is (in, out). Quantised: one scale an output; activations as they come."""
        shift = self.weight(f"{name}.bias", bias)
        if self.bits is None or name in self.kept:
            product = self.node("MatMul", [x, self.weight(f"{name}.kernel", kernel)], f"{name}.product")
            return self.node("Add", [product, shift], name)
        seen = self.ranges.get(x)
        if x in self.amplitudes:
            # One scale serves all activations: a few loud channels would cost the others their precision, so they are
            # turned down and their weights up (xiao2023).
            loud = loudness(self.amplitudes[x])
            seen = (seen[0] / loud, seen[1] / loud) if seen else None
            x = self.node("Mul", [x, self.weight(f"{name}.quieter", 1 / loud)], f"{name}.evened")
            kernel = kernel * loud[:, None]
        codes, scales = quantise_rows(kernel.T, self.bits)
        quantised = [self.weight(f"{name}.kernel", codes.T), self.weight(f"{name}.scale", scales)]
        if seen is None:
            return self.node("DynamicQuantizeMatMul", [x, *quantised, "", shift], name, domain=_CONTRIB)
        step, zero = _step(float(seen[0].min()), float(seen[1].max()))
        by = [self.weight(f"{name}.step", step), self.weight(f"{name}.zero", zero)]
        small = self.node("QuantizeLinear", [x, *by], f"{name}.small")
        inputs = [small, quantised[0], by[0], quantised[1], by[1], "", shift]
        return self.node("MatMulIntegerToFloat", inputs, name, domain=_CONTRIB)

    def factored(self, x: str, name: str, thin: FloatArray, wide: FloatArray, bias: FloatArray) -> str:
        """A linear layer of two factors, (in, rank) and (rank, out)."""
        return self.dense(self.dense(x, f"{name}.thin", thin, np.zeros(thin.shape[1], np.float32)), name, wide, bias)

    def gather(self, indices: str, name: str, table: FloatArray) -> str:
        """Rows of a table. Quantised: one scale a row."""
        if self.bits is None or name in self.kept:
            return self.node("Gather", [self.weight(f"{name}.table", table), indices], name)
        codes, scales = quantise_rows(table, self.bits)
        picked = self.node("Gather", [self.weight(f"{name}.table", codes), indices], f"{name}.codes")
        scale = self.node("Gather", [self.weight(f"{name}.scales", scales[:, None]), indices], f"{name}.scale")
        return self.node("Mul", [self.node("Cast", [picked], f"{name}.float", to=1), scale], name)

    def split(self, x: str, parts: int) -> list[str]:
        """Equal shares of the last axis."""
        from onnx import helper

        outputs = [f"{x}.{part}" for part in range(parts)]
        self.nodes.append(helper.make_node("Split", [x], outputs, name=f"{x}.split", axis=-1, num_outputs=parts))
        return outputs

    def layer_norm(self, x: str, name: str, gain: FloatArray, shift: FloatArray) -> str:
        """Normalisation over the last axis."""
        inputs = [x, self.weight(f"{name}.gain", gain), self.weight(f"{name}.shift", shift)]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=self.epsilon)


def quantise_rows(table: FloatArray, bits: int) -> tuple[NDArray[np.int8], FloatArray]:
    """Symmetric integer codes of each row and the row's scale: ``codes * scale[:, None] ≈ table``.

    Args:
        table: Shape (rows, columns).
        bits: 8, or 7 for processors whose 8-bit products saturate.
    """
    largest = 2 ** (bits - 1) - 1
    scales = np.maximum(np.abs(table).max(axis=1), 1e-12).astype(np.float32) / np.float32(largest)
    return np.rint(table / scales[:, None]).astype(np.int8), scales


def loudness(amplitudes: FloatArray) -> FloatArray:
    """By what each channel, of shape (channels,), exceeds what one scale for all of them bears well; 1 for most."""
    return np.asarray(np.maximum(1, amplitudes / (_LOUD * np.median(amplitudes))), np.float32)


def _step(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero point of uint8 activations for a range, which is widened to hold zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = max(high - low, 1e-8) / 255
    return np.array(step, np.float32), np.array(round(-low / step), np.uint8)


def layer_count(weights: Mapping[str, FloatArray]) -> int:
    """How many layers the tensors make."""
    found = {int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer.")}
    return len(found)


def activation_names(layers: int = LAYERS) -> list[str]:
    """The activations whose channels differ so much in amplitude that quantising them needs to know."""
    parts = [f"layer{layer}.{part}" for layer in range(layers) for part in ("attention", "gelu", "output")]
    return ["embedded.normed", *parts]


def build_graph(
    weights: Mapping[str, FloatArray],
    bits: int | None = 8,
    *,
    amplitudes: Mapping[str, FloatArray] | None = None,
    ranges: Ranges | None = None,
    outputs: Sequence[str] = (),
) -> Any:
    """The encoder as an ``onnx.ModelProto``.

    Inputs ``ids`` and ``mask`` (batch, length) int64, right-padded with mask 0; output ``mean`` (batch, width), the
    mean of the last layer over the tokens that are not padding, not normalised.

    Args:
        weights: Tensors by their name in the Hugging Face checkpoint (wang2020minilm, reimers2019). Layers, heads,
            inner units and pieces are as many as their shapes say; ``….weight.thin`` (rank, in) and ``….weight.wide``
            (out, rank) may stand for ``….weight``.
        bits: 8 or 7 quantises every kernel and the word table; None keeps fp32.
        amplitudes: Largest absolute value of each channel, by activation (see `activation_names`).
        ranges: Quantise these activations statically; all others by what each batch holds.
        outputs: Further activations to give out after ``mean``.

    Raises:
        KeyError: A tensor is missing.
    """
    graph = BertGraph(bits, amplitudes or {}, ranges or {})
    add_encoder(graph, weights)
    return _assemble(graph, len(weights["embeddings.LayerNorm.weight"]), outputs)


def add_encoder(graph: BertGraph, weights: Mapping[str, FloatArray]) -> str:
    """The whole network from ``ids`` and ``mask`` to ``mean``; returns that name."""
    mask = graph.node("Cast", ["mask"], "mask.int32", to=6)
    x = _embed(graph, weights)
    for layer in range(layer_count(weights)):
        x = _transform(graph, weights, x, mask, layer)
    return _mean_pool(graph, x)


def _embed(graph: BertGraph, weights: Mapping[str, FloatArray]) -> str:
    # All tokens are of type 0, whose embedding therefore goes into the positions'.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    rows = graph.gather("ids", "words", weights["embeddings.word_embeddings.weight"])
    shape = graph.node("Shape", ["ids"], "length", start=1, end=2)
    first, axis = graph.weight("zero", np.array([0])), graph.weight("axis.zero", np.array([0]))
    placed = graph.node("Slice", [graph.weight("positions", positions), first, shape, axis], "position.rows")
    summed = graph.node("Add", [rows, placed], "embedded")
    prefix = "embeddings.LayerNorm"
    return graph.layer_norm(summed, "embedded.normed", weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])


def _transform(graph: BertGraph, weights: Mapping[str, FloatArray], x: str, mask: str, layer: int) -> str:
    prefix, here = f"encoder.layer.{layer}", f"layer{layer}"

    def dense(x: str, name: str, source: str) -> str:
        bias, thin = weights[f"{prefix}.{source}.bias"], weights.get(f"{prefix}.{source}.weight.thin")
        if thin is not None:
            return graph.factored(x, f"{here}.{name}", thin.T, weights[f"{prefix}.{source}.weight.wide"].T, bias)
        kernel = weights[f"{prefix}.{source}.weight"].T
        return graph.dense(x, f"{here}.{name}", kernel, bias)

    def add_and_norm(x: str, residual: str, name: str, source: str) -> str:
        summed = graph.node("Add", [x, residual], f"{here}.{name}.sum")
        gain, shift = weights[f"{prefix}.{source}.LayerNorm.weight"], weights[f"{prefix}.{source}.LayerNorm.bias"]
        return graph.layer_norm(summed, f"{here}.{name}", gain, shift)

    sources = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    kernel = np.concatenate([weights[f"{source}.weight"].T for source in sources], axis=1)
    bias = np.concatenate([weights[f"{source}.bias"] for source in sources])
    # One product for all three, so that the activations are quantised once.
    heads = graph.split(graph.dense(x, f"{here}.heads", kernel, bias), 3)
    count = kernel.shape[1] // 3 // graph.head_width
    attended = graph.node("MultiHeadAttention", [*heads, "", mask], f"{here}.attended", _CONTRIB, num_heads=count)
    x = add_and_norm(dense(attended, "mixed", "attention.output.dense"), x, "attention", "attention.output")
    inner = graph.node("Gelu", [dense(x, "inner", "intermediate.dense")], f"{here}.gelu")
    return add_and_norm(dense(inner, "outer", "output.dense"), x, "output", "output")


def _mean_pool(graph: BertGraph, x: str) -> str:
    column = graph.weight("axis.last", np.array([-1]))
    weights = graph.node("Cast", ["mask"], "mask.float", to=1)
    masked = graph.node("Mul", [x, graph.node("Unsqueeze", [weights, column], "mask.column")], "masked")
    total = graph.node("ReduceSum", [masked, graph.weight("axis.tokens", np.array([1]))], "total", keepdims=0)
    count = graph.node("ReduceSum", [weights, column], "count", keepdims=1)
    return graph.node("Div", [total, count], "mean")


def _assemble(graph: BertGraph, width: int, outputs: Sequence[str]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", width])]
            + [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length", None]) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in graph.weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)],
        producer_name="winnow",
    )
    model.ir_version = 10
    return model
