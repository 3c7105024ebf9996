"""Students as LiteRT (TFLite) flatbuffers, operator by operator: no TensorFlow, no converter.

Shapes are open in their first dimensions: whoever runs it sets them. Convolutions want their channels last, so that
images are turned round on the way in and maps before the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import MissingExtra, ModelError
from models.export.layers import Conv, Dense, Layer, Normalise, Standardise, Table

_VERSION = 3  # of the format
_IDENTIFIER = b"TFL3"


def build_litert(layers: Sequence[Layer], shape: Sequence[int | str], n_classes: int) -> bytes:
    """The bytes of a ``model.tflite``: one input of ``shape`` (words where any number goes), probabilities out.

    Raises:
        MissingExtra: ai-edge-litert, whose schema is used, is not installed.
        ModelError: a kind of layer that has no form in it.
    """
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingExtra("Export to LiteRT", "litert") from error
    build = _Builder(schema)
    ids = isinstance(layers[0], Table)
    value = build.tensor(
        "input", [-1 if isinstance(side, str) else side for side in shape], "INT64" if ids else "FLOAT32"
    )
    first = value
    for layer in layers:
        value = build.add(layer, value)
    out = build.node("SOFTMAX", [value], "probabilities", [-1, n_classes], build.options("Softmax", beta=1.0))
    model = build.model(first, out)
    packer = flatbuffers.Builder(1 << 16)
    packer.Finish(model.Pack(packer), _IDENTIFIER)
    return bytes(packer.Output())


@dataclass
class _Builder:
    """Collects tensors, buffers and operators; a value is the number of its tensor."""

    schema: Any
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buffers.append(self.schema.BufferT())  # the first one is empty by rule

    def tensor(self, name: str, shape: Sequence[int], kind: str = "FLOAT32", buffer: int = 0) -> int:
        """A tensor; −1 is a side that is open."""
        made = self.schema.TensorT()
        made.name, made.type, made.buffer = name, getattr(self.schema.TensorType, kind), buffer
        made.shape, made.shapeSignature = [max(side, 1) for side in shape], list(shape)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, name: str, value: NDArray[Any]) -> int:
        """A tensor with its values."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.buffers.append(buffer)
        kind = {"f": "FLOAT32", "i": "INT32" if value.dtype.itemsize == 4 else "INT64"}[value.dtype.kind]
        return self.tensor(name, value.shape, kind, len(self.buffers) - 1)

    def options(self, name: str, **settings: Any) -> tuple[str, Any]:
        """The options of an operator."""
        made = getattr(self.schema, f"{name}OptionsT")()
        for key, value in settings.items():
            setattr(made, key, value)
        return f"{name}Options", made

    def node(
        self,
        kind: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        options: tuple[str, Any] | None = None,
        dtype: str = "FLOAT32",
    ) -> int:
        """An operator with one output; gives its tensor."""
        if kind not in self.codes:
            self.codes.append(kind)
        made = self.schema.OperatorT()
        made.opcodeIndex, made.inputs = self.codes.index(kind), list(inputs)
        out = self.tensor(name, shape, dtype)
        made.outputs = [out]
        if options is not None:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options[0])
            made.builtinOptions = options[1]
        self.operators.append(made)
        return out

    def add(self, layer: Layer, value: int) -> int:
        """The operators of a layer."""
        if isinstance(layer, Table):
            return self._table(layer, value)
        if isinstance(layer, Standardise):
            sides = [-1, len(layer.center)]
            value = self.node(
                "SUB", [value, self.constant("center", layer.center)], "shifted", sides, self.options("Sub")
            )
            factor = self.constant("factor", 1 / layer.spread)
            return self.node("MUL", [value, factor], "standardised", sides, self.options("Mul"))
        if isinstance(layer, Normalise):
            return self._normalise(layer, value)
        if isinstance(layer, Conv):
            return self._conv(layer, value)
        if isinstance(layer, Dense):
            return self._dense(layer, value)
        raise ModelError(f"A layer of the kind {type(layer).__name__} has no form in LiteRT; use onnx-int8 or onnx.")

    def _table(self, layer: Table, ids: int) -> int:
        dim = layer.weight.shape[1]
        words = self.constant("axis", np.array([1], np.int32))
        zero = self.constant("padding", np.array([0], np.int64))
        present = self.node("GREATER", [ids, zero], "present", [-1, -1], self.options("Greater"), "BOOL")
        types = self.schema.TensorType
        cast = self.options("Cast", inDataType=types.BOOL, outDataType=types.FLOAT32)
        present = self.node("CAST", [present], "present_f", [-1, -1], cast)
        count = self.node("SUM", [present, words], "count", [-1, 1], self.options("Reducer", keepDims=True))
        one = self.constant("one", np.array([1], np.float32))
        count = self.node("MAXIMUM", [count, one], "count_or_one", [-1, 1], self.options("MaximumMinimum"))
        rows = [self.constant("table", layer.weight), ids]
        value = self.node("GATHER", rows, "rows", [-1, -1, dim], self.options("Gather", axis=0))
        value = self.node("SUM", [value, words], "total", [-1, dim], self.options("Reducer", keepDims=False))
        value = self.node("DIV", [value, count], "mean", [-1, dim], self.options("Div"))
        if layer.bias is None:
            return value
        return self.node("ADD", [value, self.constant("bias", layer.bias)], "logits", [-1, dim], self.options("Add"))

    def _normalise(self, layer: Normalise, value: int) -> int:
        dim = len(layer.gain)
        columns = self.constant("columns", np.array([1], np.int32))

        def mean(of: int, name: str) -> int:
            return self.node("MEAN", [of, columns], name, [-1, 1], self.options("Reducer", keepDims=True))

        middle = mean(value, "middle")
        value = self.node("SUB", [value, middle], "centred", [-1, dim], self.options("Sub"))
        squared = self.node("MUL", [value, value], "squared", [-1, dim], self.options("Mul"))
        epsilon = self.constant("epsilon", np.array([layer.epsilon], np.float32))
        spread = self.node("ADD", [mean(squared, "variance"), epsilon], "spread", [-1, 1], self.options("Add"))
        factor = self.node("RSQRT", [spread], "factor_of_rows", [-1, 1])
        value = self.node("MUL", [value, factor], "even", [-1, dim], self.options("Mul"))
        value = self.node("MUL", [value, self.constant("gain", layer.gain)], "gained", [-1, dim], self.options("Mul"))
        shift = self.constant("shift", layer.shift)
        return self.node("ADD", [value, shift], "normalised", [-1, dim], self.options("Add"))

    def _conv(self, layer: Conv, value: int) -> int:
        name, n_out = layer.name, len(layer.weight)
        sides = self.tensors[value].shapeSignature
        if not self.operators:  # the images themselves
            value = self._turned(value, [0, 2, 3, 1], "channels_last")
            sides = self.tensors[value].shapeSignature
        weight = self.constant(f"{name}_w", layer.weight.transpose(0, 2, 3, 1))
        inputs = [value, weight, self.constant(f"{name}_b", layer.bias)]
        schema = self.schema
        settings = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        conv = self.options(
            "Conv2D",
            padding=schema.Padding.SAME,
            fusedActivationFunction=schema.ActivationFunctionType.RELU,
            **settings,
        )
        value = self.node("CONV_2D", inputs, f"{name}_conv", [-1, sides[1], sides[2], n_out], conv)
        pool = self.options("Pool2D", padding=schema.Padding.VALID, strideH=2, strideW=2, filterHeight=2, filterWidth=2)
        return self.node("MAX_POOL_2D", [value], f"{name}_pool", [-1, sides[1] // 2, sides[2] // 2, n_out], pool)

    def _dense(self, layer: Dense, value: int) -> int:
        n_in, n_out = layer.weight.shape
        if len(self.tensors[value].shapeSignature) == 4:
            value = self._turned(value, [0, 3, 1, 2], f"{layer.name}_maps")
            flat = self.constant(f"{layer.name}_shape", np.array([-1, n_in], np.int32))
            value = self.node("RESHAPE", [value, flat], f"{layer.name}_in", [-1, n_in], self.options("Reshape"))
        inputs = [value, self.constant(f"{layer.name}_w", layer.weight.T), self.constant(f"{layer.name}_b", layer.bias)]
        kinds = self.schema.ActivationFunctionType
        settings = self.options("FullyConnected", fusedActivationFunction=kinds.RELU if layer.relu else kinds.NONE)
        return self.node("FULLY_CONNECTED", inputs, f"{layer.name}_out", [-1, n_out], settings)

    def _turned(self, value: int, order: list[int], name: str) -> int:
        sides = self.tensors[value].shapeSignature
        places = self.constant(f"{name}_order", np.array(order, np.int32))
        turned = [sides[place] for place in order]
        return self.node("TRANSPOSE", [value, places], name, turned, self.options("Transpose"))

    def model(self, first: int, last: int) -> Any:
        """All of it as the schema's model."""
        schema = self.schema
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "student", self.tensors, self.operators
        graph.inputs, graph.outputs = [first], [last]
        model = schema.ModelT()
        model.version, model.description = _VERSION, "winnow"
        model.subgraphs, model.buffers = [graph], self.buffers
        model.operatorCodes = []
        for kind in self.codes:
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, kind)
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
            model.operatorCodes.append(code)
        return model
