"""Bundles of two models: the student answers what it is sure of; on the rest a compressed teacher is asked too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predictor.errors import BundleError
from predictor.files import BundleFiles
from predictor.items import Item, Prediction
from predictor.readers import FloatArray, checked_texts
from predictor.runtime import BUNDLES, Predictor
from predictor.runtimes import open_session

_RUN_TEXTS, _RUN_TOKENS = 32, 512
"""Most texts, and most pieces with padding, of one run of a teacher: what its layers give fits into a cache then."""
_CASCADE_SETTINGS = ("threshold", "mix", "cls", "sep", "chunk_tokens", "max_chunks")
_LONGEST_TOKENIZER = 64 * 2**20


class Pieces:
    """Texts as numbers of word pieces, by the tokenizer of a bundle. Needs the package ``tokenizers``."""

    def __init__(self, tokenizer: bytes):
        try:
            from tokenizers import Tokenizer
        except ImportError as missing:
            raise BundleError("This bundle needs tokenizers: pip install -r requirements.txt") from missing
        if len(tokenizer) > _LONGEST_TOKENIZER:
            raise BundleError(f"tokenizer.json has {len(tokenizer):,} bytes, more than any that a bundle is made with.")
        try:
            self._tokenizer: Any = Tokenizer.from_str(tokenizer.decode())
        except Exception as error:  # tokenizers raises plain exceptions on what it cannot read
            raise BundleError(f"tokenizer.json cannot be read ({error}). Unpack the whole bundle again.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def ids(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """The pieces of each text, without special ones."""
        # A lone surrogate is a string in Python, but no text anywhere else.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        found = self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)
        return [np.array(encoding.ids, np.int64) for encoding in found]


class TextNetwork:
    """A transformer over texts: one row of numbers for each.

    Args of the constructor: the graph (inputs ``ids`` and ``mask`` (chunks, length), ``share`` (texts, chunks)), the
    tokenizer, and settings: ``cls``, ``sep``, ``chunk_tokens``, ``max_chunks``.
    """

    def __init__(self, model: bytes, tokenizer: bytes, settings: Mapping[str, Any], *, threads: int = 1):
        self._session = open_session(model, threads, "teacher.onnx")
        self._output = [self._session.get_outputs()[0].name]
        self.width = int(self._session.get_outputs()[0].shape[-1])
        self._pieces = Pieces(tokenizer)
        self._cls, self._sep = int(settings["cls"]), int(settings["sep"])
        self._room, self._most = int(settings["chunk_tokens"]) - 2, int(settings["max_chunks"])

    def run(self, texts: Sequence[str]) -> FloatArray:
        """The rows of some texts, float32 (n, width). Long ones are read in chunks, weighed by their pieces."""
        split = [self._chunks(ids) for ids in self._pieces.ids(texts)]
        longest = np.array([max(map(len, chunks)) for chunks in split], np.int64)
        sizes = np.array([len(chunks) for chunks in split], np.int64)
        out = np.empty((len(texts), self.width), np.float32)
        # Texts of like length run together.
        order = np.lexsort((longest, sizes))
        begin = 0
        while begin < len(order):
            end = begin + 1
            chunks = int(sizes[order[begin]])
            while end < len(order) and end - begin < _RUN_TEXTS:
                chunks += int(sizes[order[end]])
                if chunks * int(longest[order[begin : end + 1]].max()) > _RUN_TOKENS:
                    break
                end += 1
            rows = order[begin:end]
            out[rows] = self._run([split[row] for row in rows])
            begin = end
        return out

    def _chunks(self, ids: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        starts = range(0, max(1, len(ids)), self._room)[: self._most]
        return [np.concatenate([[self._cls], ids[start : start + self._room], [self._sep]]) for start in starts]

    def _run(self, texts: Sequence[Sequence[npt.NDArray[np.int64]]]) -> FloatArray:
        chunks = [chunk for text in texts for chunk in text]
        ids = np.zeros((len(chunks), max(map(len, chunks))), np.int64)
        mask = np.zeros_like(ids)
        share = np.zeros((len(texts), len(chunks)), np.float32)
        row = 0
        for place, text in enumerate(texts):
            for chunk in text:
                ids[row, : len(chunk)], mask[row, : len(chunk)] = chunk, 1
                share[place, row] = len(chunk)
                row += 1
        result: FloatArray = self._session.run(self._output, {"ids": ids, "mask": mask, "share": share})[0]
        return result


class Cascade(Predictor):
    """A student, and a teacher for the texts of which the student is not sure enough.

    Attributes:
        threshold: By how much the student's best class must lead the second for its answer to stand.
        mix: What the teacher's probabilities weigh beside the student's where it does not stand.
        teacher: What reads those.
    """

    def __init__(
        self,
        model: bytes,
        labels: Sequence[str],
        task: str,
        preprocess: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        *,
        teacher: bytes,
        tokenizer: bytes,
        threads: int = 1,
    ):
        super().__init__(model, labels, task, preprocess, manifest, threads=threads)
        settings = self.preprocess.get("cascade")
        if not isinstance(settings, Mapping) or any(name not in settings for name in _CASCADE_SETTINGS):
            raise BundleError(f"preprocess.json must say, under cascade, {', '.join(_CASCADE_SETTINGS)}.")
        self.threshold, self.mix = float(settings["threshold"]), np.float32(settings["mix"])
        self.teacher = TextNetwork(teacher, tokenizer, settings, threads=threads)
        if self.teacher.width != len(self.labels):
            raise BundleError(f"labels.json has {len(self.labels)} names, the teacher {self.teacher.width} outputs.")

    def predict(self, items: Sequence[Item]) -> list[Prediction]:
        """As `Predictor.predict`, with ``source``: ``student``, or ``teacher`` where that was asked too."""
        probabilities, passed = self.answer(items)
        sources = ["teacher" if on else "student" for on in passed.tolist()]
        described = self._described(probabilities)
        return [{**answer, "source": source} for answer, source in zip(described, sources, strict=True)]

    def predict_proba(self, items: Sequence[Item]) -> FloatArray:
        """Probabilities, float32 (n, classes), of the student, or of both where the teacher was asked."""
        return self.answer(items)[0]

    def answer(self, items: Sequence[Item]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Probabilities, float32 (n, classes), and which items were passed on, (n,)."""
        texts = checked_texts([self._unwrapped(index, item) for index, item in enumerate(items)], 0)
        probabilities = super().predict_proba(texts)
        best = np.partition(probabilities, len(self.labels) - 2, axis=1)[:, -2:]
        passed: npt.NDArray[np.bool_] = best[:, 1] - best[:, 0] < self.threshold
        if passed.any():
            chosen = np.flatnonzero(passed)
            asked = self.teacher.run([texts[row] for row in chosen.tolist()])
            probabilities[chosen] = (1 - self.mix) * probabilities[chosen] + self.mix * asked
        return probabilities, passed


def _load_cascade(
    files: BundleFiles,
    model: bytes,
    labels: Sequence[str],
    preprocess: Mapping[str, Any] | None,
    manifest: dict[str, Any],
    threads: int,
) -> Cascade:
    teacher, tokenizer = (
        files.checked(name, files.read(name), manifest) for name in ("teacher.onnx", "tokenizer.json")
    )
    task = str(manifest.get("task"))
    return Cascade(model, labels, task, preprocess, manifest, teacher=teacher, tokenizer=tokenizer, threads=threads)


BUNDLES.update(cascade=_load_cascade)
