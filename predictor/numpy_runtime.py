"""A student computed by NumPy alone, from one safetensors file: its arrays, and the list of its layers beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predictor.errors import BundleError
from predictor.ports import Port

FloatValues = npt.NDArray[np.float32]
_DTYPES: dict[str, tuple[str, int]] = {"F32": ("<f4", 4), "F16": ("<f2", 2)}
_PARTS = {
    "table": ("weight",),
    "standardise": ("center", "spread"),
    "normalise": ("gain", "shift"),
    "conv": ("weight", "bias"),
    "dense": ("weight", "bias"),
}
_LONGEST_HEADER = 16 << 20


class NumpySession:
    """The layers of a student, one after the other; the last one's logits become probabilities."""

    def __init__(self, data: bytes):
        """Read the file; raises BundleError where it is damaged, or does not tell a student's layers."""
        arrays, told = read_safetensors(data)
        self._arrays: dict[str, FloatValues] = arrays
        try:
            self._layers = [(str(layer["kind"]), str(layer["name"]), layer) for layer in json.loads(told["layers"])]
            shape = [side if isinstance(side, str) else int(side) for side in json.loads(told["input"])]
            for kind, name, _ in self._layers:
                for part in _PARTS[kind]:
                    self._arrays[f"{name}.{part}"]
            last = self._layers[-1][1]
            width = self._arrays[f"{last}.weight"].shape[-1]
        except (KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
            raise BundleError(f"model.safetensors does not tell the layers of a student ({error!r}).") from error
        kind = "tensor(int64)" if self._layers[0][0] == "table" else "tensor(float)"
        self._ports = Port("input", shape, kind), Port("probabilities", ["items", width], "tensor(float)")

    def get_inputs(self) -> Sequence[Port]:
        """One: rows of a table, pixels or features."""
        return [self._ports[0]]

    def get_outputs(self) -> Sequence[Port]:
        """One: the probabilities."""
        return [self._ports[1]]

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Probabilities, float32 (n, classes)."""
        value = feed["input"]
        for kind, name, layer in self._layers:
            value = getattr(self, f"_{kind}")(value, name, layer)
        value -= value.max(axis=1, keepdims=True)
        np.exp(value, out=value)
        value /= value.sum(axis=1, keepdims=True)
        return [value]

    def _table(self, ids: npt.NDArray[np.int64], name: str, layer: Mapping[str, Any]) -> FloatValues:
        total: FloatValues = self._arrays[f"{name}.weight"][ids].sum(axis=1)
        total /= np.maximum((ids > 0).sum(axis=1, keepdims=True), 1).astype(np.float32)
        bias = self._arrays.get(f"{name}.bias")
        if bias is not None:
            total += bias
        return total

    def _standardise(self, X: FloatValues, name: str, layer: Mapping[str, Any]) -> FloatValues:
        out: FloatValues = (X - self._arrays[f"{name}.center"]) / self._arrays[f"{name}.spread"]
        return out

    def _normalise(self, X: FloatValues, name: str, layer: Mapping[str, Any]) -> FloatValues:
        out: FloatValues = X - X.mean(axis=1, keepdims=True)
        out /= np.sqrt((out * out).mean(axis=1, keepdims=True) + np.float32(layer["epsilon"]))
        out *= self._arrays[f"{name}.gain"]
        out += self._arrays[f"{name}.shift"]
        return out

    def _conv(self, X: FloatValues, name: str, layer: Mapping[str, Any]) -> FloatValues:
        weight = self._arrays[f"{name}.weight"]
        n, channels, height, width = X.shape
        padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, channels * 9)
        maps = columns @ weight.reshape(len(weight), -1).T + self._arrays[f"{name}.bias"]
        maps = maps.reshape(n, height, width, len(weight))[:, : height // 2 * 2, : width // 2 * 2]
        pooled: FloatValues = maps.reshape(n, height // 2, 2, width // 2, 2, len(weight)).max(axis=(2, 4))
        rectified: FloatValues = np.maximum(pooled, 0).transpose(0, 3, 1, 2)
        return rectified

    def _dense(self, X: FloatValues, name: str, layer: Mapping[str, Any]) -> FloatValues:
        out: FloatValues = X.reshape(len(X), -1) @ self._arrays[f"{name}.weight"]
        out += self._arrays[f"{name}.bias"]
        if layer.get("relu"):
            np.maximum(out, 0, out=out)
        return out


def read_safetensors(data: bytes) -> tuple[dict[str, FloatValues], dict[str, str]]:
    """The arrays of a safetensors file as float32, and what it tells beside them.

    Raises:
        BundleError: what its header claims is not there, or is no number.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LONGEST_HEADER):
        raise BundleError("model.safetensors is cut off, or none. Unpack the whole bundle again.")
    body = memoryview(data)[8 + length :]
    arrays = {}
    try:
        header = json.loads(data[8 : 8 + length])
        told = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            (kind, size), shape = _DTYPES[entry["dtype"]], [int(side) for side in entry["shape"]]
            if not 0 <= begin <= end <= len(body) or min(shape, default=1) < 1:
                raise ValueError(f"{name} is not inside the file")
            if math.prod(shape) * size != end - begin:
                raise ValueError(f"{name} is not as large as its shape")
            arrays[name] = np.frombuffer(body[begin:end], kind).reshape(shape).astype(np.float32)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"model.safetensors cannot be read ({error!r}). Unpack the whole bundle again.") from error
    return arrays, told
