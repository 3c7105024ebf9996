"""Labelled files for simulations: JSONL with ``text`` and ``label``, or ``.npz`` with ``X`` and ``y``."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.errors import Invalid


@dataclass(frozen=True)
class Dataset:
    """Items with their true labels.

    Attributes:
        task: ``text`` or ``features``.
        items: n texts, or features of shape ``(n, d)``, float32.
        labels: n labels, as text.
    """

    task: str
    items: Sequence[str] | NDArray[np.float32]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load_dataset(path: Path | str) -> Dataset:
    """Read a labelled file.

    Raises:
        Invalid: It cannot be read, a row lacks something, or it is empty; the message names the line and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise Invalid(f"{path}: there is no such file")
    if path.suffix == ".npz":
        return _load_npz(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return _load_jsonl(path)
    raise Invalid(f"{path}: give a .jsonl file (text, label) or an .npz file (X, y)")


def _load_jsonl(path: Path) -> Dataset:
    texts: list[str] = []
    labels: list[str] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    text, label = _row(line, f"{path}, line {number}")
                    texts.append(text)
                    labels.append(label)
    except UnicodeDecodeError as problem:
        raise Invalid(f"{path}: not UTF-8 ({problem.reason} at byte {problem.start}); save it as UTF-8") from problem
    if not texts:
        raise Invalid(f"{path}: no rows; each line is a JSON object with 'text' and 'label'")
    return Dataset("text", texts, tuple(labels))


def _row(line: str, where: str) -> tuple[str, str]:
    try:
        row: Any = json.loads(line)
    except ValueError as problem:
        raise Invalid(f"{where}: not JSON ({problem})") from problem
    if not isinstance(row, dict):
        raise Invalid(f"{where}: not a JSON object with 'text' and 'label'")
    text, label = row.get("text"), row.get("label")
    if not isinstance(text, str) or not text.strip():
        raise Invalid(f"{where}: 'text' is missing or empty")
    if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
        raise Invalid(f"{where}: 'label' is missing; simulations need the label of each row")
    return text, str(label)


def _load_npz(path: Path) -> Dataset:
    try:
        # Opened here: of a broken file, np.load leaves its own handle open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = {"X", "y"} - set(arrays.files)
            if missing:
                raise Invalid(f"{path}: no array {' or '.join(sorted(missing))}; it needs X (n, d) and y (n,)")
            X, y = arrays["X"], arrays["y"]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
        raise Invalid(f"{path}: cannot be read as .npz ({problem})") from problem
    if X.ndim != 2 or X.shape[1] == 0 or not np.issubdtype(X.dtype, np.number) or np.iscomplexobj(X):
        raise Invalid(f"{path}: X has shape {X.shape} and type {X.dtype}; it must be numbers of shape (n, d)")
    if y.shape != (len(X),) or y.dtype.kind not in "iuU":
        raise Invalid(f"{path}: y has shape {y.shape} and type {y.dtype}; it must be {len(X)} whole numbers or names")
    if len(X) == 0:
        raise Invalid(f"{path}: no rows")
    features = X.astype(np.float32)
    if not np.isfinite(features).all():
        row = int(np.argmax(~np.isfinite(features).all(axis=1)))
        raise Invalid(f"{path}: X holds NaN or infinity (first in row {row}, counted from 0)")
    return Dataset("features", features, tuple(str(label) for label in y.tolist()))
