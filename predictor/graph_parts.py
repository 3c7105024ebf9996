"""An ONNX graph that was checked as its nodes and constants, for who computes it without a runtime."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

from predictor.errors import BundleError
from predictor.graph_check import message_fields, read_number

if TYPE_CHECKING:
    from typing import Any

_ARRAYS = {1: ("f", 4), 2: ("B", 1), 3: ("b", 1), 6: ("i", 4), 7: ("q", 8)}  # ONNX's types: memoryview's, and bytes
_MOST_SIDES = 2  # of a student that reads texts
_OPSETS, _VERSION = {"": 17, "ai.onnx.ml": 2, "com.microsoft": 1}, 8


class NotPlain(Exception):
    """It has parts that are not read here."""


class Constant:
    """An array of a graph.

    Attributes:
        kind: float (f), uint8 (B), int8 (b), int32 (i) or int64 (q).
        shape: Its sides.
        values: Its numbers one after the other, as they lie in the file.
    """

    __slots__ = ("kind", "shape", "values")

    def __init__(self, kind: str, shape: tuple[int, ...], values: memoryview[Any]):
        self.kind, self.shape, self.values = kind, shape, values


class GraphParts:
    """Nodes and constants of a graph.

    Attributes:
        nodes: (operator, domain, inputs, outputs, attributes by name) of each, in order.
        constants: By name.
    """

    def __init__(self, model: bytes):
        """Take a graph apart that `check_graph` has let through.

        Raises:
            NotPlain: it has anything but nodes with plain attributes and whole arrays, or is of other versions.
        """
        if sys.byteorder != "little":
            raise NotPlain
        self.nodes: list[tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, Any]]] = []
        self.constants: dict[str, Constant] = {}
        self._model, self._view = model, memoryview(model)
        opsets, version = {}, 0
        graphs = []
        try:
            for field, _, start, stop in message_fields(model, 0, len(model)):
                if field == 1:
                    version = read_number(model, start, stop)[0]
                elif field == 7:
                    graphs.append((start, stop))
                elif field == 8:
                    domain, number = self._opset(start, stop)
                    opsets[domain] = number
            if len(graphs) != 1 or version != _VERSION or any(_OPSETS.get(name) != n for name, n in opsets.items()):
                raise NotPlain
            self._graph(*graphs[0])
        except (BundleError, ValueError, struct.error, TypeError) as error:
            raise NotPlain from error

    def _text(self, start: int, stop: int) -> str:
        return self._model[start:stop].decode()

    def _opset(self, start: int, stop: int) -> tuple[str, int]:
        domain, number = "", 0
        for field, _, begin, end in message_fields(self._model, start, stop):
            if field == 1:
                domain = self._text(begin, end)
            elif field == 2:
                number = read_number(self._model, begin, end)[0]
        return domain, number

    def _graph(self, start: int, stop: int) -> None:
        for field, _, begin, end in message_fields(self._model, start, stop):
            if field == 1:
                self.nodes.append(self._node(begin, end))
            elif field == 5:
                name, constant = self._constant(begin, end)
                if name in self.constants:
                    raise NotPlain
                self.constants[name] = constant
            elif field not in (2, 11, 12, 13):  # its name, inputs, outputs, and what is told of values between
                raise NotPlain

    def _node(self, start: int, stop: int) -> tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, Any]]:
        texts: dict[int, list[str]] = {1: [], 2: [], 4: [], 7: []}
        attributes: dict[str, Any] = {}
        for field, _, begin, end in message_fields(self._model, start, stop):
            if field in texts:
                texts[field].append(self._text(begin, end))
            elif field == 5:
                name, value = self._attribute(begin, end)
                attributes[name] = value
            elif field != 3:  # its name
                raise NotPlain
        return texts[4][-1] if texts[4] else "", "".join(texts[7][-1:]), tuple(texts[1]), tuple(texts[2]), attributes

    def _attribute(self, start: int, stop: int) -> tuple[str, Any]:
        """Name and value: a number, bytes, or a list of such."""
        model, name, value = self._model, "", None
        numbers: list[int] = []
        texts: list[bytes] = []
        for field, wire, begin, end in message_fields(model, start, stop):
            if field == 9:
                texts.append(model[begin:end])
            elif field == 8 and wire == 0:
                numbers.append(model[begin] if end == begin + 1 else read_number(model, begin, end)[0])
            elif field == 1:
                name = self._text(begin, end)
            elif field == 2:
                value = struct.unpack("<f", model[begin:end])[0]
            elif field == 3:
                value = read_number(model, begin, end)[0]
            elif field == 4:
                value = model[begin:end]
            elif field != 20:  # which of them it is
                raise NotPlain
        return name, texts or numbers or value

    def _constant(self, start: int, stop: int) -> tuple[str, Constant]:
        name, kind = "", 0
        data: Any = self._view[:0]
        shape = []
        for field, wire, begin, end in message_fields(self._model, start, stop):
            if field == 1 and wire == 0:
                shape.append(read_number(self._model, begin, end)[0])
            elif field == 2:
                kind = read_number(self._model, begin, end)[0]
            elif field == 8:
                name = self._text(begin, end)
            elif field == 9:
                data = self._view[begin:end]
            else:
                raise NotPlain
        if kind not in _ARRAYS or len(shape) > _MOST_SIDES:
            raise NotPlain
        form, size = _ARRAYS[kind]
        count = 1
        for side in shape:
            count *= side
        if count * size != len(data):
            raise NotPlain
        return name, Constant(form, tuple(shape), data.cast(form))
