"""MiniLM, and students cut from a BERT, as ONNX graphs built from their weights: no tracing, always the same bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, WIDTH, MAX_POSITIONS = 6, 12, 384, 512
_EPSILON = 1e-12
_OPSET = 20
_LOUD = 1.5
_CONTRIB = "com.microsoft"

FloatArray = NDArray[np.float32]


@dataclass
class BertGraph:
    """Nodes and weights as they are strung together; every method returns the name of its output.

    Attributes:
        bits: What weights are quantised to; None leaves them in fp32.
        amplitudes: Largest activation seen in each channel, by the name of the activation.
        kept: Names of tables and linear layers that stay in fp32.
        heads: Of the attention.
        epsilon: Of the normalisations.
    """

    bits: int | None
    amplitudes: Mapping[str, FloatArray]
    kept: Collection[str] = ()
    heads: int = HEADS
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
        if x in self.amplitudes:
            # One scale serves all activations: a few loud channels would cost the others their precision, so they are
            # turned down and their weights up (xiao2023).
            loud = np.maximum(1, self.amplitudes[x] / (_LOUD * np.median(self.amplitudes[x]))).astype(np.float32)
            x = self.node("Mul", [x, self.weight(f"{name}.quieter", 1 / loud)], f"{name}.evened")
            kernel = kernel * loud[:, None]
        codes, scales = quantise_rows(kernel.T, self.bits)
        inputs = [x, self.weight(f"{name}.kernel", codes.T), self.weight(f"{name}.scale", scales), "", shift]
        return self.node("DynamicQuantizeMatMul", inputs, name, domain=_CONTRIB)

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


def activation_names(layers: int = LAYERS) -> list[str]:
    """The activations whose channels differ so much in amplitude that quantising them needs to know."""
    named = [f"layer{layer}.{part}" for layer in range(layers) for part in ("attention", "gelu", "output")]
    return ["embedded.normed", *named]


def build_graph(
    weights: Mapping[str, FloatArray],
    bits: int | None = 8,
    *,
    amplitudes: Mapping[str, FloatArray] | None = None,
    outputs: Sequence[str] = (),
) -> Any:
    """The encoder as an ``onnx.ModelProto``.

    Inputs ``ids`` and ``mask`` (batch, length) int64, right-padded with mask 0; output ``mean`` (batch, 384), the mean
    of the last layer over the tokens that are not padding, not normalised.

    Args:
        weights: Tensors by their name in the Hugging Face checkpoint (wang2020minilm, reimers2019).
        bits: 8 or 7 quantises every kernel and the word table; None keeps fp32.
        amplitudes: Largest absolute value of each channel, by activation (see `activation_names`).
        outputs: Further activations to give out after ``mean``.

    Raises:
        KeyError: A tensor is missing.
    """
    graph = BertGraph(bits, amplitudes or {})
    add_encoder(graph, weights, LAYERS)
    return _assemble(graph, outputs)


def add_encoder(graph: BertGraph, weights: Mapping[str, FloatArray], layers: int) -> str:
    """The whole network from ``ids`` and ``mask`` to ``mean``; returns that name."""
    mask = graph.node("Cast", ["mask"], "mask.int32", to=6)
    x = _embed(graph, weights)
    for layer in range(layers):
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
        kernel, bias = weights[f"{prefix}.{source}.weight"].T, weights[f"{prefix}.{source}.bias"]
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
    attended = graph.node("MultiHeadAttention", [*heads, "", mask], f"{here}.attended", _CONTRIB, num_heads=graph.heads)
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


def _assemble(graph: BertGraph, outputs: Sequence[str]) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", WIDTH])]
            + [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length", None]) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in graph.weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)],
        producer_name="winnow",
    )
    model.ir_version = 10
    return model
