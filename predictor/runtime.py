"""A loaded bundle: its graph, and how items get into it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from predictor.contents import read_contents
from predictor.errors import BundleError, ItemError
from predictor.files import BundleFiles
from predictor.items import TASKS, Item, Prediction, item_of_row
from predictor.pieces import LONGEST_TOKENIZER
from predictor.readers import (
    FloatArray,
    HashedReader,
    ImageReader,
    PiecesReader,
    Reader,
    TextReader,
    VectorReader,
    WordsReader,
)
from predictor.runtimes import runtime_files, start_runtime
from predictor.settings_check import check_words

MOST_FEATURES = 1_000_000

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
        model: bytes | Mapping[str, bytes],
        labels: Sequence[str],
        task: str,
        preprocess: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        *,
        threads: int = 1,
        runtime: str = "onnx",
    ):
        """Start the runtime.

        Args:
            model: What it runs: the graph, or the files of another runtime by their names.
            labels: Class names, in the order of the output.
            task: text, image or features.
            preprocess: What turns items into its input, where the graph does not.
            manifest: The bundle's.
            threads: Of the runtime.
            runtime: One of `RUNTIME_FILES`.

        Raises:
            BundleError: Something of it is damaged, missing or not to be loaded.
        """
        self.labels, self.task = list(labels), task
        self.preprocess, self.manifest = dict(preprocess or {}), dict(manifest or {})
        if task not in TASKS:
            raise BundleError(f"The bundle reads {task!r} items; this file knows text, image and features.")
        files = {"model.onnx": model} if isinstance(model, bytes) else model
        self._session = start_runtime(runtime, files, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if not inputs or not outputs or not inputs[0].shape or not outputs[0].shape:
            raise BundleError("The model has no input or no output: it is no student.")
        self._input, self._output = inputs[0].name, [outputs[0].name]
        self._read = self._reader()
        width = outputs[0].shape[-1]
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
        best = probabilities.argmax(1).tolist()
        # What round(6) does, in half of its time: of one item it was as long as a quarter of the graph.
        rounded = np.multiply(probabilities, 1e6, dtype=np.float64)
        np.rint(rounded, out=rounded)
        rounded /= 1e6
        names, answers = self.labels, []
        for k, row in zip(best, rounded.tolist(), strict=True):
            if not math.isfinite(sum(row)):
                raise BundleError("The model answers with numbers that are none: its weights are damaged. " + _AGAIN)
            answers.append(
                {"label": names[k], "confidence": row[k], "probabilities": dict(zip(names, row, strict=True))}
            )
        return answers

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
        if self.task == "text" and self.preprocess.get("kind") == "words":
            return WordsReader(self._run, check_words(self.preprocess))
        if self.task == "text" and self.preprocess.get("kind") == "word-pieces":
            return PiecesReader(self._run, self.preprocess)
        missing = [name for name in _SETTINGS[self.task] if name not in self.preprocess]
        if missing:
            raise BundleError(f"preprocess.json does not say {', '.join(missing)}.")
        if self.task == "text":
            return HashedReader(self._run, self.preprocess)
        if self.task == "image":
            return ImageReader(self._run, self.preprocess)
        dim = wanted.shape[-1]
        if len(wanted.shape) != 2 or not isinstance(dim, int) or not 1 <= dim <= MOST_FEATURES:
            raise BundleError(f"The model does not read vectors of up to {MOST_FEATURES:,} numbers: it is no student.")
        return VectorReader(self._run, dim)

    def _run(self, batch: npt.NDArray[Any]) -> FloatArray:
        try:
            result: FloatArray = self._session.run(self._output, {self._input: batch})[0]
        except Exception as error:  # the runtimes' own exceptions have no common base but this
            raise BundleError(f"The model cannot be run: {error}") from error
        if result.shape != (len(batch), len(self.labels)):
            raise BundleError(f"The model answers {len(batch)} items with an array of shape {result.shape}.")
        return result


def load(folder: str | Path, *, threads: int = 1) -> Predictor:
    """Load a bundle: the folder that it was unpacked into, or the ZIP as it is.

    Raises:
        BundleError: it is incomplete or damaged, or holds what is not loaded from anybody.
    """
    files = BundleFiles(folder)
    manifest, labels, preprocess = read_contents(files)
    if preprocess is not None and preprocess.get("kind") == "word-pieces":
        tokenizer = files.checked("tokenizer.json", files.read("tokenizer.json", LONGEST_TOKENIZER), manifest)
        preprocess = {**preprocess, "tokenizer": tokenizer.decode("utf-8", "replace")}
    runtime = manifest.get("runtime", "onnx")
    model = {name: files.checked(name, files.read(name), manifest) for name in runtime_files(runtime)}
    kind = BUNDLES.get(str(manifest.get("bundle")))
    if kind is not None:
        return kind(files, model["model.onnx"], labels, preprocess, manifest, threads)
    task = str(manifest.get("task"))
    return Predictor(model, labels, task, preprocess, manifest, threads=threads, runtime=runtime)
