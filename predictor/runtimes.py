"""Which files each runtime reads, and starting it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from predictor.errors import BundleError
from predictor.executorch_runtime import ExecuTorchSession
from predictor.graph_check import check_graph
from predictor.litert_runtime import LiteRtSession
from predictor.numpy_runtime import NumpySession
from predictor.openvino_runtime import OpenVinoSession
from predictor.ports import Session

RUNTIME_FILES: dict[str, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "numpy": ("model.safetensors",),
    "openvino": ("model.xml", "model.bin"),
    "litert": ("model.tflite",),
    "executorch": ("model.pte",),
}
"""The files of a model for each runtime, as a manifest's ``runtime`` names it."""
GRAPH_BYTES = 2 << 30
"""Memory of all graphs that onnxruntime runs in a process together."""


def start_runtime(name: str, files: Mapping[str, bytes], threads: int) -> Session:
    """Load a model's files (by name) with their runtime; raises BundleError where it is refused."""
    if name == "numpy":
        return NumpySession(files["model.safetensors"])
    if name == "openvino":
        return OpenVinoSession(files["model.xml"], files["model.bin"], threads)
    if name == "litert":
        return LiteRtSession(files["model.tflite"], threads)
    if name == "executorch":
        return ExecuTorchSession(files["model.pte"], threads)
    session: Session = open_session(files["model.onnx"], threads)
    return session


def runtime_files(name: Any) -> tuple[str, ...]:
    """The files of a runtime; raises BundleError for one that is not known here."""
    if not isinstance(name, str) or name not in RUNTIME_FILES:
        known = ", ".join(RUNTIME_FILES)
        raise BundleError(f"The bundle is for the runtime {str(name)[:40]!r}; this file knows {known}.")
    return RUNTIME_FILES[name]


def open_session(model: bytes, threads: int, name: str = "model.onnx") -> Any:
    """An onnxruntime session of a serialised graph, of bounded memory; raises BundleError where it is refused."""
    import onnxruntime as ort

    check_graph(model, name)
    try:
        return ort.InferenceSession(model, session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        raise BundleError(f"{name} cannot be loaded by onnxruntime {ort.__version__}: {error}") from error


def session_options(threads: int) -> Any:
    """How onnxruntime runs a bundle's graph."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Small weights become floats once, when they are loaded. Otherwise each run would do that anew, which of one item
    # takes longer than all else; and layers as small as a student's gain nothing from integer products.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if bound_memory():
        options.add_session_config_entry("session.use_env_allocators", "1")
    return options


@cache
def bound_memory() -> bool:
    """Have graphs of this process share at most `GRAPH_BYTES`; whether onnxruntime can do that."""
    import onnxruntime as ort

    try:
        kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(kind, ort.OrtArenaCfg({"max_mem": GRAPH_BYTES, "arena_extend_strategy": 1}))
    except Exception:  # somebody else has done it, or it is an older one
        return False
    return True
