"""Predictions from a bundle's folder, with onnxruntime and numpy only (and pillow for images, tokenizers for pieces).

This file is whole in itself: it is what ``/predictions`` runs, and it is copied into every bundle as ``predict.py``.

    python predict.py "a text" "another text"
    python predict.py --file in.jsonl          rows {"text": …}, {"image": base64} or {"features": […]}
    python predict.py a.png b.jpg              for a bundle over images
    python predict.py "[0.1, 2.5, …]"          for a bundle over features

prints one JSON object a line: ``{"label": …, "confidence": …, "probabilities": {…}}``.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from predictor.pieces import WordPieces

if TYPE_CHECKING:
    from PIL import Image

FORMAT = 1
"""Version of the folder's layout that this file reads."""

Item = str | bytes | Sequence[float] | npt.NDArray[Any]
Prediction = dict[str, Any]
FloatArray = npt.NDArray[np.float32]

_CHUNK = 4096  # items that are turned into arrays at once: memory stays flat however many are handed in
_CELLS = 32_768  # token cells of one run of a text model: what fits a core's second-level cache
_PIECES = 1_024  # the same of a transformer, whose layers are wider
_IMAGES = 256  # images of one run
_SETTINGS = {"text": ("rows",), "image": ("mode", "size", "mean", "std"), "features": ()}
"""What preprocess.json must say for each task."""


class BundleError(Exception):
    """The folder is not a whole bundle; the message says what is wrong with it and what to do."""


class ItemError(ValueError):
    """One item cannot be used; ``index`` is its place in what was handed in."""

    def __init__(self, index: int, reason: str):
        super().__init__(f"item {index}: {reason}")
        self.index = index
        self.reason = reason


# Texts ----------------------------------------------------------------------------------------------------------------
#
# A word is a run of letters, digits and combining marks, without regard to case; an emoji is one too. Scripts written
# without spaces give one word a character, so that the pairs of neighbours do there what words do elsewhere.

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff\u1ab0-\u1aff"
)
_WORD = re.compile(f"[{_UNSPACED}{_EMOJI}]|[^\\W_{_UNSPACED}](?:[^\\W_{_UNSPACED}]|[{_MARKS}])*")
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"
_FOLD = bytes(c if (c := ord(chr(b).lower())) < 128 and c in _LETTERS else 32 for b in range(256))
_CACHED_WORDS = 400_000
_GOLDEN, _MIXER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_1, _29, _32 = np.uint64(1), np.uint64(29), np.uint64(32)


class _WordHashes(dict[bytes, int]):
    """Word → 64-bit hash, remembered: most words of a text were seen before."""

    def __missing__(self, word: bytes) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        value = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
        self[word] = value
        return value


_HASHES = _WordHashes()


def words(text: str) -> list[bytes]:
    """The words of a text, case folded, as UTF-8.

    >>> words("Don't PANIC, Straße!")
    [b'don', b't', b'panic', b'strasse']
    """
    if text.isascii():
        return text.encode().translate(_FOLD).split()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = folded.replace("i\u0307", "i")  # what the Turkish İ folds to
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(folded)]


def hash_texts(texts: Sequence[str], rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The table rows of each text's words and pairs of neighbouring words.

    Args:
        texts: n texts.
        rows: size of the table; row 0 is never used (it pads).

    Returns:
        ``ids`` int64 (t,), text after text, each with its words first and its pairs after them, all in 1..rows − 1;
        and ``counts`` int64 (n,), how many ids each text has (0 for a text without a word).
    """
    split = list(map(words, texts))
    n_words = np.fromiter(map(len, split), np.int64, len(split))
    total = int(n_words.sum())
    single = np.fromiter(map(_HASHES.__getitem__, chain.from_iterable(split)), np.uint64, total)
    starts = np.cumsum(n_words) - n_words
    # A pair for each word but the last of its text.
    has_next = np.ones(total, bool)
    has_next[(starts + n_words - 1)[n_words > 0]] = False
    left = np.flatnonzero(has_next)
    pair = _pairs(single[left], single[left + 1])
    n_pairs = np.maximum(n_words - 1, 0)
    counts = n_words + n_pairs
    out = np.cumsum(counts) - counts
    ids = np.empty(total + len(left), np.int64)
    ids[np.arange(total) + np.repeat(out - starts, n_words)] = _buckets(single, rows)
    pair_starts = np.cumsum(n_pairs) - n_pairs
    ids[np.arange(len(left)) + np.repeat(out + n_words - pair_starts, n_pairs)] = _buckets(pair, rows)
    return ids, counts


def hash_text(text: str, rows: int) -> npt.NDArray[np.int64]:
    """What `hash_texts` gives for one text, int64 (t,), without the bookkeeping of many."""
    single = np.fromiter(map(_HASHES.__getitem__, words(text)), np.uint64)
    return _buckets(np.concatenate((single, _pairs(single[:-1], single[1:]))), rows)


def _pairs(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of each two neighbours; the arithmetic is modulo 2**64."""
    pair = left * _GOLDEN
    pair += right
    pair ^= pair >> _29
    pair *= _MIXER
    return pair


def _buckets(hashes: npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.int64]:
    """Scale the upper 32 bits to 1..rows − 1: a multiplication, where a remainder would take five times as long."""
    scaled = hashes >> _32
    scaled *= np.uint64(rows - 1)
    scaled >>= _32
    scaled += _1
    return scaled.view(np.int64)


def pad(
    ids: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Lay the ids of some texts side by side: (b, longest), filled up with row 0."""
    width = max(1, int(counts.max(initial=0)))
    column = np.arange(width)
    inside = column < counts[:, None]
    padded = np.zeros((len(counts), width), np.int64)
    padded[inside] = ids[(starts[:, None] + column)[inside]]
    return padded


# Images ---------------------------------------------------------------------------------------------------------------


def open_image(data: bytes, *, most_pixels: float = float("inf")) -> Image.Image:
    """An encoded image in RGB: upright, transparency on white, sixteen and more bits a pixel brought to eight.

    Raises ValueError where the bytes are no image that pillow can read, or one of more pixels than ``most_pixels``.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > most_pixels:
                raise ValueError(f"{opened.width} × {opened.height} pixels are too many")
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16") or image.mode in ("I", "F"):
                image = _scaled(image)
            elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except Exception as error:  # pillow's plugins raise whatever they come upon on broken files
        raise ValueError(f"not a readable image ({error})") from error


def _scaled(image: Image.Image) -> Image.Image:
    """Eight bits a pixel: pillow's own conversion would clip what is above 255 to white."""
    from PIL import Image

    pixels = np.asarray(image, np.float64)
    top = 65_535 if pixels.max() > 255 else 255
    return Image.fromarray(np.clip(pixels * (255 / top), 0, 255).astype(np.uint8))


def decode_image(data: bytes, *, mode: str, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pixels of an encoded image as uint8 (channels, height, width), scaled to ``size`` (height, width).

    Raises ValueError where the bytes are no image that pillow can read.
    """
    image = open_image(data).convert(mode)
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), 2, reducing_gap=2.0)  # 2: bilinear
    pixels = np.asarray(image, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def normalise(pixels: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """Pixels (n, c, h, w) in 0..255 → float32 in standard units of each channel."""
    scale = (1.0 / (255.0 * np.asarray(std, np.float64))).astype(np.float32)[:, None, None]
    shift = (np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)[:, None, None]
    return pixels.astype(np.float32) * scale - shift


# The predictor --------------------------------------------------------------------------------------------------------


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
        if task not in _SETTINGS:
            raise BundleError(f"The bundle reads {task!r} items; this file knows text, image and features.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            raise BundleError(f"model.onnx cannot be loaded by onnxruntime {ort.__version__}: {error}") from error
        self._input, self._output = self._session.get_inputs()[0].name, [self._session.get_outputs()[0].name]
        self._run_items = {"text": self._run_texts, "image": self._run_images, "features": self._run_features}[task]
        missing = [name for name in _SETTINGS[task] if name not in self.preprocess]
        if missing:
            raise BundleError(f"preprocess.json does not say {', '.join(missing)}.")
        self._pieces = self._word_pieces() if self.preprocess.get("kind") == "word-pieces" else None
        width = self._session.get_outputs()[0].shape[-1]
        if width != len(self.labels):
            raise BundleError(f"labels.json has {len(self.labels)} names, the model {width} outputs.")

    def _word_pieces(self) -> WordPieces:
        settings = self.preprocess
        try:
            numbers = {name: int(settings[name]) for name in ("rows", "start", "end", "most")}
            return WordPieces(str(settings["tokenizer"]), **numbers)
        except KeyError as error:
            raise BundleError(f"preprocess.json does not say {error}.") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(str(error)) from error

    def predict(self, items: Sequence[Item]) -> list[Prediction]:
        """Label, confidence and probabilities (to six digits) of each item.

        Args:
            items: texts (str), encoded images (bytes), or feature vectors (sequences of floats), as the bundle's task;
                or rows of a JSONL file ({"text": …}).

        Raises:
            ItemError: an item is of the wrong kind, or an image cannot be read; names its index.
        """
        probabilities = self.predict_proba(items)
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
            self._run_items(items[start : start + _CHUNK], start, out[start : start + _CHUNK])
        return out

    def _unwrapped(self, index: int, item: Any) -> Item:
        """The item itself where a row came."""
        try:
            return _item_of_row(item, self.task) if isinstance(item, dict) else cast(Item, item)
        except ValueError as error:
            raise ItemError(index, str(error)) from error

    def _run(self, batch: npt.NDArray[Any]) -> FloatArray:
        result: FloatArray = self._session.run(self._output, {self._input: batch})[0]
        return result

    def _run_texts(self, items: Sequence[Any], first: int, out: FloatArray) -> None:
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise ItemError(first + index, f"this bundle reads texts, not {type(item).__name__}")
        rows_of_table = int(self.preprocess["rows"])
        if self._pieces is not None:
            ids, counts, _ = self._pieces(items)
        elif len(items) == 1:
            ids = hash_text(items[0], rows_of_table)
            out[:] = self._run(ids[None] if len(ids) else np.zeros((1, 1), np.int64))
            return
        else:
            ids, counts = hash_texts(items, rows_of_table)
        starts = np.cumsum(counts) - counts
        cells = _CELLS if self._pieces is None else _PIECES
        # Texts of like length run together: little padding, and as many at once as the cache holds.
        order = np.argsort(counts, kind="stable")
        begin = 0
        lengths = np.maximum(counts[order], 1)
        while begin < len(order):
            limit = max(1, cells // int(lengths[begin]))
            end = begin + max(
                1, int(np.searchsorted(lengths[begin : begin + limit], 1.25 * lengths[begin] + 2, "right"))
            )
            rows = order[begin:end]
            out[rows] = self._run(pad(ids, starts[rows], counts[rows]))
            begin = end

    def _run_images(self, items: Sequence[Any], first: int, out: FloatArray) -> None:
        settings = self.preprocess
        size = (int(settings["size"][0]), int(settings["size"][1]))
        for begin in range(0, len(items), _IMAGES):
            pixels = []
            for index, item in enumerate(items[begin : begin + _IMAGES], first + begin):
                if not isinstance(item, bytes):
                    raise ItemError(index, f"this bundle reads encoded images (bytes), not {type(item).__name__}")
                try:
                    pixels.append(decode_image(item, mode=settings["mode"], size=size))
                except ValueError as error:
                    raise ItemError(index, str(error)) from error
            batch = normalise(np.stack(pixels), settings["mean"], settings["std"])
            out[begin : begin + len(pixels)] = self._run(batch)

    def _run_features(self, items: Sequence[Any], first: int, out: FloatArray) -> None:
        dim = self._session.get_inputs()[0].shape[1]
        vectors = np.empty((len(items), dim), np.float32)
        for index, item in enumerate(items):
            try:
                vector = np.asarray(item, np.float32)
            except (TypeError, ValueError) as error:
                raise ItemError(first + index, "this bundle reads lists of numbers") from error
            if vector.shape != (dim,):
                raise ItemError(first + index, f"{dim} numbers are needed, got an array of shape {vector.shape}")
            if not np.isfinite(vector).all():
                raise ItemError(first + index, "NaN or infinity among the features")
            vectors[index] = vector
        out[:] = self._run(vectors)


def load(folder: str | Path, *, threads: int = 1) -> Predictor:
    """Load the bundle unpacked in ``folder``; raises BundleError where it is incomplete or damaged."""
    folder = Path(folder)
    manifest = _read_json(folder, "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{folder}: its manifest.json is not of format {FORMAT}, which this file reads.")
    labels = _read_json(folder, "labels.json")
    preprocess = _read_json(folder, "preprocess.json") if (folder / "preprocess.json").exists() else None
    model = _read_checked(folder, "model.onnx", manifest)
    if isinstance(preprocess, dict) and preprocess.get("kind") == "word-pieces":
        tokenizer = _read_checked(folder, "tokenizer.json", manifest).decode("utf-8", "replace")
        preprocess = {**preprocess, "tokenizer": tokenizer}
    return Predictor(model, labels, str(manifest.get("task")), preprocess, manifest, threads=threads)


_AGAIN = "Unpack the whole bundle again."


def _read_checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
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


# The command line -----------------------------------------------------------------------------------------------------


def _item_of_row(row: object, task: str) -> Item:
    """The item in a JSONL row; raises ValueError with the reason."""
    if not isinstance(row, Mapping) or task not in row:
        raise ValueError(f'a row must be an object with "{task}"')
    value = row[task]
    if task == "image":
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, binascii.Error) as error:
            raise ValueError('"image" must be base64') from error
    kind: type = str if task == "text" else list
    if not isinstance(value, kind):
        raise ValueError(f'"{task}" must be a {"string" if kind is str else "list of numbers"}')
    return cast(Item, value)


def _item_of_argument(argument: str, task: str) -> Item:
    if task == "text":
        return argument
    if task == "image":
        try:
            return Path(argument).read_bytes()
        except OSError as error:
            raise ValueError(f"{argument}: {error.strerror}") from error
    return _item_of_row({task: json.loads(argument)}, task)


def _answer(predictor: Predictor, pending: list[tuple[Item | None, str]]) -> Iterator[Prediction]:
    """One answer for each (item, reason); a bad item gets ``{"error": …}`` and spoils no other."""
    items = [item for item, _ in pending if item is not None]
    try:
        good = iter(predictor.predict(items))
        for item, reason in pending:
            yield {"error": reason} if item is None else next(good)
    except ItemError:
        for item, reason in pending:
            try:
                yield {"error": reason} if item is None else predictor.predict([item])[0]
            except ItemError as error:
                yield {"error": error.reason}


def _read(sources: Iterable[str], task: str, *, rows: bool) -> Iterator[tuple[Item | None, str]]:
    for source in sources:
        if rows and not source.strip():
            continue
        try:
            yield _item_of_row(json.loads(source), task) if rows else _item_of_argument(source, task), ""
        except ValueError as error:
            yield None, str(error)


def _print_all(predictor: Predictor, pending: Iterator[tuple[Item | None, str]]) -> int:
    failed = 0
    while chunk := list(islice(pending, _CHUNK)):
        for answer in _answer(predictor, chunk):
            failed += "error" in answer
            print(json.dumps(answer, ensure_ascii=False))
    if failed:
        print(f"{failed} items could not be read: see the lines with an error.", file=sys.stderr)
    return 1 if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 where an item or the bundle was bad, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="predict.py", description="Predict with this bundle; prints JSONL.")
    parser.add_argument("item", nargs="*", help="a text, the path of an image, or a JSON list of features")
    parser.add_argument("--file", help='JSONL with "text", "image" (base64) or "features"; - is standard input')
    parser.add_argument("--bundle", default=Path(__file__).parent, help="folder of the bundle (default: this file's)")
    parser.add_argument("--threads", type=int, default=1, help="threads of onnxruntime (default: 1)")
    arguments = parser.parse_args(argv)
    if bool(arguments.item) == bool(arguments.file):
        parser.error("give either items or --file")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        predictor = load(arguments.bundle, threads=arguments.threads)
        if not arguments.file:
            return _print_all(predictor, _read(arguments.item, predictor.task, rows=False))
        if arguments.file == "-":
            return _print_all(predictor, _read(sys.stdin, predictor.task, rows=True))
        with Path(arguments.file).open(encoding="utf-8-sig") as lines:
            return _print_all(predictor, _read(lines, predictor.task, rows=True))
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
