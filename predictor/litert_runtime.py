"""A student run by LiteRT (TFLite), from model.tflite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from predictor.errors import BundleError
from predictor.ports import Port

_KINDS = {"int64": "tensor(int64)", "float32": "tensor(float)"}


class LiteRtSession:
    """An interpreter, which one thread uses at a time."""

    def __init__(self, model: bytes, threads: int):
        """Read it; raises BundleError where LiteRT is missing or refuses it."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise BundleError("This bundle is run by LiteRT: pip install -r requirements.txt") from error
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=threads)
            self._given, self._told = (
                self._interpreter.get_input_details()[0],
                self._interpreter.get_output_details()[0],
            )
        except Exception as error:  # its exceptions have no common base but this
            raise BundleError(f"model.tflite cannot be loaded by LiteRT: {error}") from error
        self._shape: tuple[int, ...] = ()
        self._lock = Lock()

    def get_inputs(self) -> Sequence[Port]:
        """One: rows of a table, pixels or features."""
        return [_port(self._given)]

    def get_outputs(self) -> Sequence[Port]:
        """One: the probabilities."""
        return [_port(self._told)]

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Probabilities, float32 (n, classes)."""
        batch = feed[str(self._given["name"])]
        with self._lock:
            if batch.shape != self._shape:
                self._interpreter.resize_tensor_input(self._given["index"], batch.shape)
                self._interpreter.allocate_tensors()
                self._shape = batch.shape
            self._interpreter.set_tensor(self._given["index"], batch)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(self._told["index"])]


def _port(told: Mapping[str, Any]) -> Port:
    sides = [int(side) for side in told["shape_signature"]]
    shape: list[int | str] = [side if side > 0 else f"any{place}" for place, side in enumerate(sides)]
    kind = told["dtype"].__name__
    return Port(str(told["name"]), shape, _KINDS.get(kind, kind))
