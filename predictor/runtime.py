"""A loaded bundle: its graph, and how items get into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from predictor.errors import BundleError, ItemError
from predictor.items import TASKS, Item, Prediction, item_of_row
from predictor.readers import FloatArray, HashedReader, ImageReader, Reader, TextReader, VectorReader

FORMAT = 1
"""Version of the folder's layout that this file reads."""

_CHUNK = 4096  # items that are turned into arrays at once: memory stays flat however many are handed in
_SETTINGS = {"text": ("rows",), "image": ("mode", "size", "mean", "std"), "features": ()}
"""What preprocess.json must say for each task, where the graph does not read items as they are."""
_AGAIN = "Unpack the whole bundle again."
BUNDLES: dict[str, Callable[..., Predictor]] = {}
"""By what a manifest's ``bundle`` says: bundles with more than one model, which load the rest of themselves."""


class Predictor:
    """A loaded bundle. Safe to share between threads.

    Attributes:
        labels: The class names, in the order of the output.
        task: What it reads: text, image or features.
        manifest: The bundle's manifest.json.
    """

    def __init__(
        self,
        model: bytes,
        labels: Sequence[str],
        task: str,
        preprocess: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        *,
        threads: int = 1,
    ):
        self.labels, self.task = list(labels), task
        self.preprocess, self.manifest = dict(preprocess or {}), dict(manifest or {})
        if task not in TASKS:
            raise BundleError(f"The bundle reads {task!r} items; this file knows text, image and features.")
        self._session = open_session(model, threads)
        self._input, self._output = self._session.get_inputs()[0].name, [self._session.get_outputs()[0].name]
        self._read = self._reader()
        width = self._session.get_outputs()[0].shape[-1]
        if width != len(self.labels):
            raise BundleError(f"labels.json has {len(self.labels)} names, the model {width} outputs.")

    def predict(self, items: Sequence[Item]) -> list[Prediction]:
        """Label, confidence and probabilities (to six digits) of each item.

        Args:
            items: texts (str), encoded images (bytes), or feature vectors (sequences of floats), as the bundle's task;
                or rows of a JSONL file ({"text": …}).

        Raises:
            ItemError: an item is of the wrong kind, or an image cannot be read; names its index.
        """
        return self._described(self.predict_proba(items))

    def _described(self, probabilities: FloatArray) -> list[Prediction]:
        best = probabilities.argmax(1)
        rows = probabilities.astype(np.float64).round(6).tolist()
        names = self.labels
        return [
            {"label": names[k], "confidence": row[k], "probabilities": dict(zip(names, row, strict=True))}
            for k, row in zip(best.tolist(), rows, strict=True)
        ]

    def predict_proba(self, items: Sequence[Item]) -> FloatArray:
        """Probabilities, float32 (n, classes), in the order of ``labels``."""
        if len(items) and isinstance(items[0], dict):
            items = [self._unwrapped(index, item) for index, item in enumerate(items)]
        out = np.empty((len(items), len(self.labels)), np.float32)
        for start in range(0, len(items), _CHUNK):
            self._read(items[start : start + _CHUNK], start, out[start : start + _CHUNK])
        return out

    def _unwrapped(self, index: int, item: Any) -> Item:
        """The item itself where a row came."""
        try:
            return item_of_row(item, self.task) if isinstance(item, dict) else cast(Item, item)
        except ValueError as error:
            raise ItemError(index, str(error)) from error

    def _reader(self) -> Reader:
        wanted = self._session.get_inputs()[0]
        if self.task == "text" and wanted.type == "tensor(string)":
            return TextReader(self._run)
        missing = [name for name in _SETTINGS[self.task] if name not in self.preprocess]
        if missing:
            raise BundleError(f"preprocess.json does not say {', '.join(missing)}.")
        if self.task == "text":
            return HashedReader(self._run, self.preprocess)
        if self.task == "image":
            return ImageReader(self._run, self.preprocess)
        return VectorReader(self._run, wanted.shape[1])

    def _run(self, batch: npt.NDArray[Any]) -> FloatArray:
        result: FloatArray = self._session.run(self._output, {self._input: batch})[0]
        return result


def open_session(model: bytes, threads: int, name: str = "model.onnx") -> Any:
    """An onnxruntime session of a serialised graph; raises BundleError where onnxruntime refuses it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base but this
        raise BundleError(f"{name} cannot be loaded by onnxruntime {ort.__version__}: {error}") from error


def load(folder: str | Path, *, threads: int = 1) -> Predictor:
    """Load the bundle unpacked in ``folder``; raises BundleError where it is incomplete or damaged."""
    folder = Path(folder)
    manifest = _read_json(folder, "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{folder}: its manifest.json is not of format {FORMAT}, which this file reads.")
    labels = _read_json(folder, "labels.json")
    preprocess = _read_json(folder, "preprocess.json") if (folder / "preprocess.json").exists() else None
    model = read_member(folder, "model.onnx", manifest)
    kind = BUNDLES.get(str(manifest.get("bundle")))
    if kind is not None:
        return kind(folder, model, labels, preprocess, manifest, threads)
    return Predictor(model, labels, str(manifest.get("task")), preprocess, manifest, threads=threads)


def read_member(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """A file of a bundle, which must be the one that its manifest knows; raises BundleError."""
    data = _read_bytes(folder / name)
    expected = manifest.get("sha256", {}).get(name)
    if expected and hashlib.sha256(data).hexdigest() != expected:
        raise BundleError(f"{folder / name} is damaged: its checksum is not the manifest's. {_AGAIN}")
    return data


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}). {_AGAIN}") from error


def _read_json(folder: Path, name: str) -> Any:
    data = _read_bytes(folder / name)
    try:
        return json.loads(data)
    except ValueError as error:
        raise BundleError(f"{folder / name} is not JSON ({error}). {_AGAIN}") from error
