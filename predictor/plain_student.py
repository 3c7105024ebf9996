"""A student that reads texts, computed without any runtime: some texts are answered before one would have started.

Loading NumPy and onnxruntime takes a hundred times what a text does. So the first answer of ``python predict.py`` is
computed here, from the same graph, if that is one of a `static` student to the last node; anything else is left to the
runtime. Sums differ from the runtime's in the last digits, as those of two versions of it do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from predictor.graph_parts import Constant, GraphParts, NotPlain
from predictor.words import WORD_EXPRESSION, word_forms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_ML, _CONTRIB = "ai.onnx.ml", "com.microsoft"
_SPLIT = {"tokenexp": WORD_EXPRESSION.encode(), "mark": 0, "mincharnum": 1, "pad_value": b""}
_ONE = {"axis1": ("q", [1]), "padding": ("q", [0]), "one": ("f", [1.0])}  # constants whose values say what is computed
_MOST_PRODUCTS = 200_000  # of one text: with more a runtime has started sooner than some texts are answered
Values = list[float]


class PlainStudent:
    """Words → mean of their vectors → normalised → a hidden layer → classes."""

    def __init__(self, model: bytes):
        """Take a checked graph apart; raises NotPlain where it is not exactly that of a `static` student."""
        parts = GraphParts(model)
        self._constants = parts.constants
        small = {name for name in ("table", "hidden", "head") if f"{name}_scale" in self._constants}
        expected = list(_nodes(small))
        if len(parts.nodes) != len(expected):
            raise NotPlain
        told: dict[str, Any] = {}
        for (kind, domain, inputs, outputs, attributes), wanted in zip(parts.nodes, expected, strict=True):
            free = _FREE.get(kind, ())
            told |= {name: attributes[name] for name in free if name in attributes}
            rest = {name: value for name, value in attributes.items() if name not in free}
            if (kind, domain, inputs, outputs, rest) != wanted:
                raise NotPlain
        try:
            self._keys, self._rows, self._epsilon = told["keys_strings"], told["values_int64s"], told["epsilon"]
            for name, (form, values) in _ONE.items():
                if self._constants[name].kind != form or self._constants[name].values.tolist() != values:
                    raise NotPlain
            self._table = _Table(self._constants, "table" in small)
            dim = self._table.dim
            self._gain, self._shift = (_floats(self._constants[name], dim) for name in ("gain", "shift"))
            self._hidden = _Dense(self._constants, "hidden", dim, "hidden" in small)
            self._head = _Dense(self._constants, "head", self._hidden.width, "head" in small)
        except (KeyError, TypeError) as error:
            raise NotPlain from error
        if self._hidden.width * (dim + self._head.width) > _MOST_PRODUCTS:
            raise NotPlain
        if not isinstance(self._keys, list) or not isinstance(self._rows, list) or len(self._keys) != len(self._rows):
            raise NotPlain
        self.width = self._head.width
        """How many classes it tells apart."""

    def probabilities(self, texts: Sequence[str]) -> list[Values]:
        """A row of probabilities for each text; raises NotPlain where a number is none or out of its range."""
        split = [[form.encode() for form in word_forms(text)] or [b""] for text in texts]
        wanted = {form for forms in split for form in forms}
        rows = {key: row for key, row in zip(self._keys, self._rows, strict=True) if key in wanted}
        try:
            return [self._answer([rows.get(form, 0) for form in forms]) for forms in split]
        except (ValueError, TypeError, ArithmeticError) as error:  # what NaN, infinity and words for numbers lead to
            raise NotPlain from error

    def _answer(self, ids: list[int]) -> Values:
        mean = self._table.mean(ids)
        center = math.fsum(mean) / len(mean)
        centred = [value - center for value in mean]
        spread = math.sqrt(math.fsum(value * value for value in centred) / len(mean) + self._epsilon)
        normal = [v / spread * gain + shift for v, gain, shift in zip(centred, self._gain, self._shift, strict=True)]
        logits = self._head([max(value, 0.0) for value in self._hidden(normal)])
        largest = max(logits)
        powers = [math.exp(value - largest) for value in logits]
        total = math.fsum(powers)
        if not math.isfinite(total) or not all(map(math.isfinite, logits)):
            raise NotPlain
        return [power / total for power in powers]


_FREE = {"LabelEncoder": ("keys_strings", "values_int64s"), "LayerNormalization": ("epsilon",)}
"""What the graph itself says, for each operator; all else is known."""

_Node = tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, object]]


def _node(kind: str, inputs: str, output: str, domain: str = "", **attributes: Any) -> _Node:
    return kind, domain, tuple(inputs.split()), (output,), attributes


def _nodes(small: set[str]) -> Iterator[_Node]:
    """The nodes of a `static` student's graph, of which the layers in ``small`` have INT8 weights."""
    yield _node("StringNormalizer", "input", "small", case_change_action=b"LOWER", locale=b"C")
    yield _node("Tokenizer", "small", "words", _CONTRIB, **_SPLIT)
    yield _node("LabelEncoder", "words", "ids", _ML, default_int64=0)
    yield _node("Greater", "ids padding", "present")
    yield _node("Cast", "present", "present_f", to=1)
    yield _node("ReduceSum", "present_f axis1", "count", keepdims=1)
    yield _node("Max", "count one", "count_or_one")
    if "table" in small:
        yield _node("Gather", "table ids", "rows_int8")
        yield _node("Cast", "rows_int8", "rows", to=1)
        yield _node("ReduceSum", "rows axis1", "total_int8", keepdims=0)
        yield _node("Mul", "total_int8 table_scale", "total")
    else:
        yield _node("Gather", "table ids", "rows")
        yield _node("ReduceSum", "rows axis1", "total", keepdims=0)
    yield _node("Div", "total count_or_one", "mean")
    yield _node("LayerNormalization", "mean gain shift", "normalised")
    yield from _dense_nodes("hidden", "normalised", "hidden" in small)
    yield _node("Relu", "hidden_sum", "hidden_relu")
    yield from _dense_nodes("head", "hidden_relu", "head" in small)
    yield _node("Softmax", "head_sum", "probabilities", axis=(1 << 64) - 1)


def _dense_nodes(name: str, value: str, small: bool) -> Iterator[_Node]:
    if small:
        yield _node("QuantizeLinear", f"{value} {name}_scale {name}_zero", f"{name}_q")
        yield _node("DequantizeLinear", f"{name}_q {name}_scale {name}_zero", f"{name}_dq")
        yield _node("DequantizeLinear", f"{name}_w {name}_w_scale {name}_w_zero", f"{name}_w_dq", axis=1)
        yield _node("MatMul", f"{name}_dq {name}_w_dq", f"{name}_product")
    else:
        yield _node("MatMul", f"{value} {name}_w", f"{name}_product")
    yield _node("Add", f"{name}_product {name}_b", f"{name}_sum")


def _floats(constant: Constant, n: int, kind: str = "f") -> list[Any]:
    if constant.kind != kind or constant.shape != (n,):
        raise NotPlain
    return constant.values.tolist()


def _scalar(constant: Constant, kind: str) -> Any:
    if constant.kind != kind or constant.shape != ():
        raise NotPlain
    return constant.values[0]


class _Table:
    """Vectors by row, and their mean over some rows; row 0 is that of words that have none."""

    def __init__(self, constants: dict[str, Constant], small: bool):
        table = constants["table"]
        if table.kind != ("b" if small else "f") or len(table.shape) != 2 or min(table.shape) < 1:
            raise NotPlain
        self._rows, self.dim = table.shape
        self._values = table.values
        self._scale = _floats(constants["table_scale"], self.dim) if small else [1.0] * self.dim

    def mean(self, ids: list[int]) -> Values:
        if not all(0 <= row < self._rows for row in ids):
            raise NotPlain
        vectors = [self._values[row * self.dim : (row + 1) * self.dim] for row in ids]
        known = max(1, sum(row > 0 for row in ids))
        totals = map(sum, zip(*vectors, strict=True))
        return [total * scale / known for total, scale in zip(totals, self._scale, strict=True)]


class _Dense:
    """x · weight + bias; with small weights, of x as near as 256 steps come to it."""

    def __init__(self, constants: dict[str, Constant], name: str, dim: int, small: bool):
        weight = constants[f"{name}_w"]
        if weight.kind != ("b" if small else "f") or len(weight.shape) != 2 or weight.shape[0] != dim:
            raise NotPlain
        self.width = weight.shape[1]
        self._weight, self._step, self._zero = weight.values, 0.0, 0
        self._bias, self._scales = _floats(constants[f"{name}_b"], self.width), [1.0] * self.width
        if small:
            self._step, self._zero = _scalar(constants[f"{name}_scale"], "f"), _scalar(constants[f"{name}_zero"], "B")
            if not self._step > 0:
                raise NotPlain
            self._scales = [self._step * scale for scale in _floats(constants[f"{name}_w_scale"], self.width)]
            if any(_floats(constants[f"{name}_w_zero"], self.width, "b")):
                raise NotPlain

    def __call__(self, values: Values) -> Values:
        if self._step:
            values = [min(max(round(v / self._step) + self._zero, 0), 255) - self._zero for v in values]
        width = self.width
        totals: Values = [0.0] * width
        for row, value in enumerate(values):
            if value:
                weights = self._weight[row * width : (row + 1) * width].tolist()
                totals = [total + value * weight for total, weight in zip(totals, weights, strict=True)]
        return [t * scale + bias for t, scale, bias in zip(totals, self._scales, self._bias, strict=True)]
