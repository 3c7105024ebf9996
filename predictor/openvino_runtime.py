"""A student run by OpenVINO, from its own files: model.xml and model.bin."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from predictor.errors import BundleError
from predictor.ports import Port

_TYPES = {"i64": "tensor(int64)", "f32": "tensor(float)"}


class OpenVinoSession:
    """A compiled model; each thread asks by a request of its own."""

    def __init__(self, graph: bytes, weights: bytes, threads: int):
        """Read and compile it for the CPU; raises BundleError where OpenVINO is missing or refuses it."""
        try:
            openvino = import_openvino()
        except ImportError as error:
            raise BundleError("This bundle is run by OpenVINO: pip install -r requirements.txt") from error
        import numpy as np

        self._own = threading.local()
        try:
            core = openvino.Core()
            packed = openvino.Tensor(np.frombuffer(weights, np.uint8) if weights else np.zeros(1, np.uint8))
            model = core.read_model(model=graph.decode(), weights=packed)
            settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(model, "CPU", settings)
            self._inputs, self._outputs = map(_ports, (self._compiled.inputs, self._compiled.outputs))
        except Exception as error:  # its exceptions have no common base but this
            raise BundleError(f"model.xml cannot be loaded by OpenVINO {openvino.__version__}: {error}") from error

    def get_inputs(self) -> Sequence[Port]:
        """One: rows of a table, pixels or features."""
        return self._inputs

    def get_outputs(self) -> Sequence[Port]:
        """One: the probabilities."""
        return self._outputs

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> list[Any]:
        """Probabilities, float32 (n, classes)."""
        request = getattr(self._own, "request", None)
        if request is None:  # a thread's own: two may not share one
            request = self._own.request = self._compiled.create_infer_request()
        request.infer(dict(feed))
        return [request.get_output_tensor(0).data.copy()]


def import_openvino() -> Any:
    """OpenVINO, without the package beside it that reports each import to its makers; raises ImportError."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = cast(Any, None)  # what cannot be imported is done without
    import openvino

    return openvino


def _ports(found: Sequence[Any]) -> list[Port]:
    made = []
    for port in found:
        shape: list[int | str] = [
            side.get_length() if side.is_static else f"any{place}"
            for place, side in enumerate(port.get_partial_shape())
        ]
        kind = port.get_element_type().get_type_name()
        made.append(Port(port.get_any_name(), shape, _TYPES.get(kind, kind)))
    return made
