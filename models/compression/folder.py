"""A compressed encoder as a folder: model.onnx, tokenizer.json, manifest.json. Nothing that is loaded can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.compression.compact import Compact
from models.errors import CorruptModel

FORMAT = 1
KIND = "compact-encoder"
_MODEL, _TOKENIZER, _MANIFEST = "model.onnx", "tokenizer.json", "manifest.json"
_SETTINGS = ("cls", "sep", "chunk_tokens", "max_chunks")


def save_compact(folder: Path, compact: Compact, **details: Any) -> None:
    """Write an encoder into a folder, which is made where it is missing.

    Args:
        folder: Where to; other files in it are left alone.
        compact: The encoder.
        **details: Anything JSON that is worth keeping with it: its steps, its figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {_MODEL: compact.model, _TOKENIZER: compact.tokenizer.encode()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = {
        "format": FORMAT,
        "kind": KIND,
        "digest": compact.digest,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "settings": dict(compact.settings),
        **details,
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_compact(folder: Path) -> tuple[Compact, Mapping[str, Any]]:
    """The encoder that `save_compact` wrote, and its manifest.

    Raises:
        CorruptModel: A file is missing, is of another format, or is not the one that was written.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        model, tokenizer = (folder / _MODEL).read_bytes(), (folder / _TOKENIZER).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CorruptModel(str(folder), f"it holds no readable encoder ({error})") from error
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("kind")) != (FORMAT, KIND):
        raise CorruptModel(str(folder), f"{_MANIFEST} is not that of a compressed encoder of format {FORMAT}")
    settings = manifest.get("settings")
    if not isinstance(settings, dict) or any(not isinstance(settings.get(name), int) for name in _SETTINGS):
        raise CorruptModel(str(folder), f"{_MANIFEST} does not say {', '.join(_SETTINGS)}")
    compact = Compact(model, tokenizer, {name: settings[name] for name in _SETTINGS})
    if compact.digest != manifest.get("digest"):
        raise CorruptModel(str(folder), "its digest does not fit its content")
    return compact, manifest
