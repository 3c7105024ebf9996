"""Keeps those inputs of a student in production that are worth labelling: with numpy only, and by itself.

    python predict.py --collect seen.jsonl --file in.jsonl        (a bundle that was exported with ``collect`` on)

or, in a program of one's own::

    collector = Collector(load("bundle"), "seen.jsonl")
    collector.see(items, predictions)
    collector.save()

The file is bounded: half of it is what the student was least certain of, a quarter what is most unlike the pool
(`novelty`), and a quarter a uniform sample of all distinct inputs, which alone can show how they differ from the pool.
Its rows can be imported as they are; ``meta`` says why each was kept. It is rewritten as a whole, so that it is never
half there, and read again at the next start.

**Novelty.** Of a text: the share of its words that the pool's sample does not have, by a Bloom filter (bloom1970). Of
an image or a vector: its distance to the nearest of 128 items of the pool, after a signed random projection to 64
numbers (achlioptas2003). Both as multiples of the 95th percentile of items of the pool that the sketch was not made
from: above 1 is unlike nearly all of them.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

NOVELTY = "novelty.json"
MOST_ROWS = 1000
"""Rows of the file, unless another number is given."""

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])")
_HASHES, _BITS_A_WORD, _MOST_BITS = 5, 10, 1 << 20
_SIZE, _MARKS, _SIDE = 64, 128, 12
_LEAST_USUAL = 0.05  # of a text: one word in twenty is nothing new, however alike the pool is to itself
_KINDS = ("uncertain", "novel", "random")

Row = dict[str, Any]
FloatArray = npt.NDArray[np.float64]


class CollectError(Exception):
    """Nothing can be collected; the message says why and what to do."""


class Bundle(Protocol):
    """What is asked of a predictor."""

    task: str
    manifest: dict[str, Any]


# Novelty --------------------------------------------------------------------------------------------------------------


def make_sketch(items: Sequence[Any], task: str) -> dict[str, Any]:
    """What `novelty` needs to know of the pool, as JSON.

    Args:
        items: A random sample of the pool: texts, encoded images, or vectors; four fifths are remembered, the rest is
            what is usual.
        task: text, image or features.

    Raises:
        CollectError: fewer than ten items.
    """
    if len(items) < 10:
        raise CollectError("ten items of the pool at least are needed to tell what is new.")
    kept, rest = [item for i, item in enumerate(items) if i % 5], [item for i, item in enumerate(items) if i % 5 == 0]
    sketch = _text_sketch(kept) if task == "text" else _vector_sketch(_vectors(kept, task))
    raw = _raw_novelty(rest, {**sketch, "task": task})
    usual = max(float(np.quantile(raw, 0.95)), _LEAST_USUAL if task == "text" else 1e-6)
    return {**sketch, "task": task, "items": len(kept), "usual": round(usual, 6)}


def novelty(items: Sequence[Any], sketch: Mapping[str, Any]) -> FloatArray:
    """How unlike the pool each item is, shape ``(n,)``: 0 is alike, above 1 is unlike 95 % of the pool."""
    return _raw_novelty(items, sketch) / float(sketch["usual"])


def _raw_novelty(items: Sequence[Any], sketch: Mapping[str, Any]) -> FloatArray:
    if sketch["task"] != "text":
        return _distances(_vectors(items, sketch["task"]), sketch)
    bits = np.frombuffer(base64.b64decode(sketch["bits"]), np.uint8)
    shares = np.zeros(len(items))
    for row, item in enumerate(items):
        found = _words(item)
        if found:
            places = _places(found, 8 * len(bits))
            known = (bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1
            shares[row] = 1.0 - known.all(axis=1).mean()
    return shares


def _words(text: str) -> list[bytes]:
    spaced = _UNSPACED.sub(r" \1 ", text.casefold())
    return sorted({word.encode("utf-8", "surrogatepass") for word in _WORD.findall(spaced)})


def _places(words: Sequence[bytes], n_bits: int) -> npt.NDArray[np.int64]:
    """The bits of each word, shape ``(n, 5)``: two halves of a hash, added up."""
    digests = b"".join(hashlib.blake2b(word, digest_size=8).digest() for word in words)
    halves = np.frombuffer(digests, "<u4").reshape(len(words), 2).astype(np.int64)
    return (halves[:, :1] + np.arange(_HASHES) * (halves[:, 1:] | 1)) % n_bits


def _text_sketch(texts: Iterable[str]) -> dict[str, Any]:
    found = sorted({word for text in texts for word in _words(text)})
    n_bits = min(_MOST_BITS, max(1024, 8 * ((len(found) * _BITS_A_WORD + 7) // 8)))
    bits = np.zeros(n_bits, np.uint8)
    if found:
        bits[_places(found, n_bits).ravel()] = 1
    return {"bits": base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode()}


def _vectors(items: Sequence[Any], task: str) -> FloatArray:
    rows = [_thumbnail(item) if task == "image" else np.asarray(item, np.float64) for item in items]
    return np.stack(rows) if rows else np.zeros((0, 1))


def _thumbnail(data: bytes) -> FloatArray:
    """An image in 12 × 12 greys, 0 to 1; an unreadable one is all grey."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            greys: FloatArray = np.asarray(image.convert("L").resize((_SIDE, _SIDE)), np.float64).ravel() / 255.0
            return greys
    except Exception:  # pillow's plugins raise whatever they come upon
        return np.full(_SIDE * _SIDE, 0.5)


def _project(vectors: FloatArray) -> FloatArray:
    """At most 64 numbers a row: each number is added to or taken from one of them, by a hash of its place."""
    width = vectors.shape[1]
    if width <= _SIZE:
        return vectors
    hashed = (np.arange(1, width + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    signs = np.where(hashed & np.uint64(64), 1.0, -1.0)
    out = np.zeros((len(vectors), _SIZE))
    np.add.at(out.T, (hashed % np.uint64(_SIZE)).astype(np.int64), (vectors * signs).T)
    return out


def _vector_sketch(vectors: FloatArray) -> dict[str, Any]:
    center, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread[spread < 1e-9] = 1.0
    projected = _project((vectors - center) / spread)
    marks = projected[np.linspace(0, len(projected) - 1, min(_MARKS, len(projected))).astype(int)]
    arrays = {"center": center, "spread": spread, "marks": marks.ravel()}
    return {name: base64.b64encode(array.astype("<f4").tobytes()).decode() for name, array in arrays.items()}


def _distances(vectors: FloatArray, sketch: Mapping[str, Any]) -> FloatArray:
    center, spread, marks = (
        np.frombuffer(base64.b64decode(sketch[name]), "<f4").astype(np.float64)
        for name in ("center", "spread", "marks")
    )
    if not len(vectors):
        return np.zeros(0)
    projected = _project((vectors - center) / spread)
    marks = marks.reshape(-1, projected.shape[1])
    squares = (projected**2).sum(1)[:, None] + (marks**2).sum(1) - 2 * projected @ marks.T
    nearest: FloatArray = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    return nearest


# Collecting -----------------------------------------------------------------------------------------------------------


class Collector:
    """A bounded file of inputs worth labelling. One process a file; what is in it already is kept and outbid.

    Args:
        bundle: The loaded predictor; its manifest must say that collecting is allowed.
        file: The JSONL file.
        most: Its rows at most.
        sketch: The content of novelty.json; without it nothing counts as novel, and the uncertain have its share.

    Raises:
        CollectError: there is no consent, or ``file`` is something else or cannot be written.
    """

    def __init__(
        self, bundle: Bundle, file: str | Path, most: int = MOST_ROWS, sketch: Mapping[str, Any] | None = None
    ) -> None:
        if bundle.manifest.get("collect") is not True:
            raise CollectError(
                "This bundle was exported without consent to collect inputs: set the project's setting collect to true "
                "and export it again."
            )
        if most < 4:
            raise CollectError("At least 4 rows are needed: give a larger number.")
        self._task, self._version = bundle.task, bundle.manifest.get("version")
        self._file, self._sketch = Path(file), sketch
        novel = most // 4 if sketch is not None else 0
        self._most = {"uncertain": most - novel - most // 4, "novel": novel, "random": most // 4}
        self._kept: dict[str, dict[str, tuple[float, Row]]] = {kind: {} for kind in _KINDS}
        # What has to be outbid: score and digest, so that equals have an order of their own, whichever came first.
        self._bars: dict[str, tuple[float, str]] = dict.fromkeys(_KINDS, (-np.inf, ""))
        self._changed = self._broken = False
        self._read()
        self._check_writable()

    def see(self, items: Sequence[Any], predictions: Sequence[Mapping[str, Any]]) -> None:
        """Look at items and what was said of them (the ``confidence``); keep what is worth it.

        What a cascade says is what both of its models do: it is unsure where the teacher leaves it so.
        """
        if not len(items):
            return
        news = np.zeros(len(items)) if self._sketch is None else novelty(items, self._sketch)
        for item, said, new in zip(items, predictions, news.tolist(), strict=True):
            digest = _digest(item)
            # As they are written: who reads the file must not rank otherwise.
            confidence, new = round(float(said["confidence"]), 6), round(new, 4)
            scores = {"uncertain": 1.0 - confidence, "novel": new, "random": int(digest[:12], 16) / 16.0**12}
            if self._sketch is None:
                del scores["novel"]
            for kind, score in scores.items():
                if (score, digest) > self._bars[kind] and digest not in self._kept[kind]:
                    meta = {"collected": kind, "confidence": confidence, "novelty": new, "by": self._version}
                    if "source" in said:
                        meta["source"] = said["source"]
                    self._keep(kind, digest, score, {**_row(item, self._task), "meta": meta})

    def note(self, items: Sequence[Any], predictions: Sequence[Mapping[str, Any]]) -> None:
        """`see` and `save`; what goes wrong is said once on stderr, and stops no prediction."""
        if self._broken:
            return
        read = [(item, said) for item, said in zip(items, predictions, strict=True) if "confidence" in said]
        try:
            self.see([item for item, _ in read], [said for _, said in read])
            self.save()
        except (CollectError, ValueError) as error:
            self._broken = True
            print(f"Nothing more is collected: {error}", file=sys.stderr)

    def save(self) -> None:
        """Write the file anew if anything has changed; raises CollectError where it cannot be written."""
        if not self._changed:
            return
        for kind in _KINDS:
            self._trim(kind)
        lines = [f"{json.dumps(row, ensure_ascii=False)}\n" for row in self._rows()]
        try:
            handle, name = tempfile.mkstemp(dir=self._file.absolute().parent, prefix=f".{self._file.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as part:
                    part.writelines(lines)
                    part.flush()
                    os.fsync(part.fileno())
                Path(name).replace(self._file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CollectError(f"{self._file} cannot be written ({error.strerror}).") from error
        self._changed = False

    def _rows(self) -> list[Row]:
        """Each input once, under the first reason that it was kept for."""
        once: dict[str, Row] = {}
        for kind in _KINDS:
            for digest, (_, row) in sorted(self._kept[kind].items(), key=lambda entry: (-entry[1][0], entry[0])):
                also = once.get(digest)
                if also is None:
                    once[digest] = {**row, "meta": dict(row["meta"])}
                else:
                    also["meta"]["also"] = [*also["meta"].get("also", []), kind]
        return list(once.values())

    def _keep(self, kind: str, digest: str, score: float, row: Row) -> None:
        kept = self._kept[kind]
        kept[digest] = (score, row)
        self._changed = True
        # Some more than wanted are held, so that the worst need not be looked for with each.
        if len(kept) > self._most[kind] + 256:
            self._trim(kind)

    def _trim(self, kind: str) -> None:
        most = self._most[kind]
        best = heapq.nlargest(most, self._kept[kind].items(), key=lambda entry: (entry[1][0], entry[0]))
        self._kept[kind] = dict(best)
        if most and len(best) == most:
            self._bars[kind] = (best[-1][1][0], best[-1][0])
        elif not most:
            self._bars[kind] = (np.inf, "")

    def _read(self) -> None:
        """Take over what an earlier run kept; refuses a file that is anything else."""
        try:
            lines = self._file.read_text(encoding="utf-8", errors="surrogatepass").splitlines()
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise CollectError(f"{self._file} cannot be read ({error}).") from error
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                meta = row["meta"]
                kinds = [meta["collected"], *meta.pop("also", [])]
                item = _item(row, self._task)
                scores = {"uncertain": 1.0 - float(meta["confidence"]), "novel": float(meta["novelty"])}
                digest = _digest(item)
                scores["random"] = int(digest[:12], 16) / 16.0**12
                for kind in kinds:
                    self._keep(kind, digest, scores[kind], {**row, "meta": {**meta, "collected": kind}})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CollectError(
                    f"{self._file} is no collection of {self._task} items (line {number}): nothing is written over it. "
                    "Give another file."
                ) from error
        self._changed = False

    def _check_writable(self) -> None:
        folder = self._file.absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK) or self._file.is_dir():
            raise CollectError(f"{self._file} cannot be written: its folder has to be there, and open to this program.")


def open_collector(bundle: Bundle, folder: str | Path, file: str | Path, most: int = MOST_ROWS) -> Collector:
    """The collector of the bundle in ``folder``, with what its novelty.json knows of the pool."""
    path = Path(folder) / NOVELTY
    try:
        sketch = json.loads(path.read_text("utf-8")) if path.exists() else None
    except (OSError, ValueError) as error:
        raise CollectError(f"{path} cannot be read ({error}). Unpack the whole bundle again.") from error
    return Collector(bundle, file, most, sketch)


def _row(item: Any, task: str) -> Row:
    if task == "image":
        return {"image": base64.b64encode(item).decode()}
    return {task: item if task == "text" else [float(value) for value in item]}


def _item(row: Mapping[str, Any], task: str) -> Any:
    value = row[task]
    if task == "image":
        return base64.b64decode(value, validate=True)
    if not isinstance(value, str if task == "text" else list):
        raise TypeError("another kind of item")
    return value


def _digest(item: Any) -> str:
    """A hash of the content: what makes two inputs the same, and a uniform place among all distinct ones."""
    if isinstance(item, str):
        data = item.encode("utf-8", "surrogatepass")
    else:
        data = item if isinstance(item, bytes) else np.asarray(item, "<f8").tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()
