"""Looking into an ONNX graph before a runtime does: what would read other files, or never end, is refused.

A serialised graph is walked as protobuf, field by field, without building anything: what is no graph is found out
here, in bounded time and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from predictor.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NODES = 100_000
MOST_FIELDS = 2_000_000
"""Of all messages together: what bounds the time of looking."""
_DEPTH = 24
_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"}
_ENDLESS = {b"Loop", b"Scan", b"SequenceMap"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Which fields of a message lead to which other: message → field → message.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}

_CHECKED = {"model", "tensor", "node"}  # which `_check_field` looks at


def check_graph(model: bytes, name: str = "model.onnx") -> None:
    """Raise BundleError where a serialised ONNX graph must not be handed to a runtime.

    That is: it is cut off or none at all; it keeps weights in other files; it has functions (which may unfold without
    end), loops, or operators of unknown domains; or more than `MOST_NODES` nodes or `MOST_FIELDS` fields.
    """
    try:
        _walk(model)
    except BundleError as error:
        raise BundleError(str(error).replace("model.onnx", name, 1)) from None


def _walk(model: bytes) -> None:
    if model[4:8] == b"ORTM":
        raise BundleError("model.onnx is not ONNX but a file of onnxruntime's own kind, which is not loaded.")
    nodes = fields = 0
    pending: list[tuple[str, int, int, int]] = [("model", 0, len(model), 0)]
    seen_graph = False
    while pending:
        kind, begin, end, depth = pending.pop()
        if depth > _DEPTH:
            raise BundleError("model.onnx nests graphs deeper than any student does.")
        seen_graph |= kind == "graph"
        if kind == "node":
            nodes += 1
            if nodes > MOST_NODES:
                raise BundleError(f"model.onnx has more than {MOST_NODES:,} nodes, which no student has.")
        children, checked = _FIELDS.get(kind, {}), kind in _CHECKED
        for field, wire, start, stop in message_fields(model, begin, end):
            fields += 1
            if fields > MOST_FIELDS:
                raise BundleError(f"model.onnx has more than {MOST_FIELDS:,} fields, which no student has.")
            if checked:
                _check_field(model, kind, field, wire, start, stop)
            if field in children:
                child = children[field]
                if wire != _BYTES:
                    raise BundleError(_BROKEN)
                pending.append((child, start, stop, depth + 1))
    if not seen_graph:
        raise BundleError(_BROKEN)


_BROKEN = "model.onnx cannot be loaded: it is cut off, or no ONNX graph. Unpack the whole bundle again."


def _check_field(model: bytes, kind: str, field: int, wire: int, start: int, stop: int) -> None:
    if kind == "model" and field == 25:
        raise BundleError("model.onnx has functions of its own, which may unfold without end; no student has any.")
    if kind == "tensor" and (field == 13 or (field == 14 and read_number(model, start, stop)[0] != 0)):
        raise BundleError(
            "model.onnx keeps weights in other files, which are never read: a bundle's graph is one file."
        )
    if kind == "node" and field == 4 and model[start:stop] in _ENDLESS:
        raise BundleError(f"model.onnx has the operator {model[start:stop].decode()}, which may never end.")
    if kind == "node" and field == 7 and model[start:stop] not in _DOMAINS:
        shown = model[start : min(stop, start + 40)].decode(errors="replace")
        raise BundleError(f"model.onnx has an operator of the domain {shown!r}, which is not loaded.")


def message_fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of a protobuf message: number, wire type, and where its value begins and ends.

    Raises:
        BundleError: it is cut off, or no message.
    """
    while at < end:
        # Nearly all numbers are of one byte; a list of words has a field for each, so this is where the time goes.
        key = data[at]
        if key < 128:
            at += 1
        else:
            key, at = read_number(data, at, end)
        wire = key & 7
        if wire == _BYTES and at < end and data[at] < 128:
            start = at + 1
            stop = start + data[at]
        elif wire == _BYTES:
            length, start = read_number(data, at, end)
            stop = start + length
        elif wire == _VARINT:
            start = at
            stop = at + 1 if at < end and data[at] < 128 else read_number(data, at, end)[1]
        elif wire in (_FIXED64, _FIXED32):
            start, stop = at, at + (8 if wire == _FIXED64 else 4)
        else:
            raise BundleError(_BROKEN)
        if stop > end:
            raise BundleError(_BROKEN)
        yield key >> 3, wire, start, stop
        at = stop


def read_number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends; raises BundleError where it ends nowhere."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise BundleError(_BROKEN)
