"""Files of a registered model: where they lie, whether they may be loaded at all, and what identifies them.

Nothing here loads torch. Weights are read from safetensors only and code that comes with a model is never run: a folder
that somebody filled with something else can do no more than give bad features.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UnusableModel

PREFIX = "hf:"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_FURTHER = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
_PREPROCESSOR = "preprocessor_config.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class HubModel:
    """What the operator registered.

    Attributes:
        source: A folder, or an id of the Hugging Face hub.
        pooling: ``auto``, ``mean``, ``cls`` or ``pooled``.
        max_tokens: Longer texts are cut; the model's own limit when not given.
        prefix: Put in front of every text.
        revision: Commit, tag or branch of a model of the hub.
        download: Whether it may be fetched from the hub; else only what lies in the local cache is used.
    """

    source: str
    pooling: str = "auto"
    max_tokens: int | None = None
    prefix: str = ""
    revision: str | None = None
    download: bool = False

    def options(self) -> dict[str, Any]:
        """What determines the features, beside the files."""
        return {"pooling": self.pooling, "max_tokens": self.max_tokens, "prefix": self.prefix}


def find_folder(name: str, model: HubModel) -> Path:
    """The folder with the model's files; fetched only where that is allowed, and then neither pickles nor code.

    Raises:
        UnusableModel: there is none.
    """
    folder = Path(model.source).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model.source.startswith(("~", ".")) or model.source.count("/") > 1:
        raise UnusableModel(
            name, f"there is no folder {model.source} on this machine. Put the model there, or correct its entry."
        )
    return _from_hub(name, model)


def _from_hub(name: str, model: HubModel) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            model.source,
            revision=model.revision,
            allow_patterns=list(_FETCHED),
            ignore_patterns=["*/*"],
            local_files_only=not model.download,
        )
    except HFValidationError:
        raise UnusableModel(name, f"{model.source} is neither a folder here nor an id of the hub.") from None
    except (LocalEntryNotFoundError, FileNotFoundError):
        how = "It could not be fetched either." if model.download else "Put a copy there, or allow the download."
        raise UnusableModel(
            name, f"{model.source} is neither a folder nor in the hub's cache of this machine. {how}"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise UnusableModel(name, f"{model.source} could not be fetched: {short(error)}") from None
    return Path(found)


def check_folder(name: str, folder: Path, task: str) -> None:
    """Look at the files of a model before anything is loaded.

    Raises:
        UnusableModel: something is missing, or would have to be trusted.
    """
    config = _json(name, folder, "config.json")
    if (folder / "adapter_config.json").exists():
        raise UnusableModel(name, "it is an adapter. Merge it into its model, and save that.")
    if config.get("transformers_weights") is not None:  # these would be loaded, ahead of those that are looked at here
        raise UnusableModel(name, "config.json names other weights (transformers_weights). Save the model again.")
    _check_weights(name, folder)
    reads_text = any((folder / file).exists() for file in _TOKENIZERS)
    reads_images = (folder / _PREPROCESSOR).exists()
    if "text_config" in config and "vision_config" in config:
        raise UnusableModel(name, "it reads texts and images together. Save the half that is wanted by itself.")
    if task == "text" and not reads_text:
        what = "it is a model of images" if reads_images else "it has no tokenizer"
        raise UnusableModel(name, f"{what}, but the items are texts. Save a tokenizer beside it, or name another.")
    if task == "image" and not reads_images:
        what = "it is a model of texts" if reads_text else f"it has no {_PREPROCESSOR}"
        raise UnusableModel(name, f"{what}, but the items are images. Save its image processor beside it.")
    for file in ("config.json", "tokenizer_config.json", _PREPROCESSOR):
        if (folder / file).exists() and "auto_map" in _json(name, folder, file):
            raise UnusableModel(
                name, f"{file} asks for code that comes with the model, which is never run. Use a model without."
            )


def _check_weights(name: str, folder: Path) -> None:
    if (folder / _WEIGHTS).exists():
        return
    if (folder / _INDEX).exists():
        missing = [part.name for part in _weights(name, folder) if not part.exists()]
        if missing:
            raise UnusableModel(name, f"{missing[0]} is missing, which {_INDEX} names. Copy the whole model.")
        return
    pickled = next((file.name for pattern in _PICKLES for file in sorted(folder.glob(pattern))), None)
    if pickled is not None:
        raise UnusableModel(
            name,
            f"its weights are in {pickled}, and such files are never loaded: a pickle can run any code. Save the model "
            f"as safetensors: load it where you trust it, and call save_pretrained(folder).",
        )
    raise UnusableModel(name, f"{folder} has no {_WEIGHTS}. Copy the whole model.")


def _weights(name: str, folder: Path) -> list[Path]:
    """The files of the weights; what an index names stays inside the folder."""
    if (folder / _WEIGHTS).exists():
        return [folder / _WEIGHTS]
    parts = _json(name, folder, _INDEX).get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
        raise UnusableModel(name, f"{_INDEX} does not say where the weights are. Copy the model again.")
    names = sorted(set(parts.values()))
    if any(Path(part).name != part or not part.endswith(".safetensors") for part in names):
        raise UnusableModel(name, f"{_INDEX} names what is no safetensors file beside it. Save the model again.")
    return [folder / part for part in names]


def _json(name: str, folder: Path, file: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / file).read_text("utf-8"))
    except FileNotFoundError:
        raise UnusableModel(name, f"{folder} has no {file}: it holds no model of transformers.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableModel(name, f"{file} cannot be read: {short(error)}") from None
    if not isinstance(found, dict):
        raise UnusableModel(name, f"{file} holds no JSON object. Copy the model again.")
    return found


def fingerprint(name: str, folder: Path, cache: Path) -> str:
    """SHA-256 in hex over every file that determines the output. Files are read again only when they have changed.

    Raises:
        UnusableModel: a file cannot be read.
    """
    files = list(_determining(name, folder))
    try:
        stamps = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        receipt = cache / f"hub-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.json"
        known = _receipt(receipt)
        if known.get("files") == stamps:
            return str(known["sha256"])
        total = hashlib.sha256()
        for file in files:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            total.update(f"{file.name}:{digest}\n".encode())
    except OSError as error:
        raise UnusableModel(name, f"its files cannot be read: {short(error)}") from None
    _write(receipt, {"files": stamps, "sha256": total.hexdigest()})
    return total.hexdigest()


def _determining(name: str, folder: Path) -> Iterator[Path]:
    wanted = ("config.json", *_TOKENIZERS, *_FURTHER, _PREPROCESSOR)
    yield from (folder / file for file in sorted(wanted) if (folder / file).exists())
    if (folder / _INDEX).exists() and not (folder / _WEIGHTS).exists():
        yield folder / _INDEX
    yield from _weights(name, folder)


def _receipt(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("sha256"), str) else {}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(value, file)
    Path(file.name).replace(path)


def short(error: BaseException) -> str:
    """What an error says, in one short line."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 240 else f"{said[:239]}…"
