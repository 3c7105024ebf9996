"""What a file is: its task, its columns and the classes that it names, found by looking at it once."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from cli.errors import CommandError

MOST_CLASSES = 1_000
_TEXT_COLUMNS = ("text", "body", "content", "message", "sentence", "review", "document", "title", "question")
LABEL_COLUMNS = ("label", "class", "category", "target", "topic", "intent", "sentiment")
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
SAMPLE_ROWS = 200
_FIELD_LIMIT = 1 << 24


@dataclass(frozen=True)
class FilePlan:
    """What project a file makes. ``mapping`` is field → column where a CSV's columns are not called as the fields."""

    file: Path
    name: str
    task: str
    format: str
    mapping: dict[str, str] | None = None
    labels: list[str] = field(default_factory=list)


def inspect_file(file: Path) -> FilePlan:
    """Look at ``file`` and say what project it makes; ``labels`` are those it names, in order of first sight.

    Raises:
        CommandError: it is empty, or nothing that can be labelled was found in it.
    """
    with file.open("rb") as opened:
        head = opened.read(4096)
    if not head.strip():
        raise CommandError(f"{file.name} is empty")
    if head.startswith(b"PK\x03\x04"):
        return _inspect_zip(file)
    if head.startswith(b"PAR1"):
        from cli.parquet_inspection import inspect_parquet

        return inspect_parquet(file)
    if head.startswith(b"\x00") or b"\x00" in head:
        raise CommandError(f"{file.name} is neither text nor a ZIP: give CSV, TSV, JSONL, Parquet, ZIP or .npz")
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        named_so = file.suffix.lower() in (".jsonl", ".ndjson")
        if named_so or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return _inspect_jsonl(file, text)
        return _inspect_table(file, text)


def _inspect_zip(file: Path) -> FilePlan:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise CommandError(f"{file.name} cannot be opened: {error}") from None
    if names and all(name.endswith(".npy") for name in names):
        return FilePlan(file, file.stem, "features", "npz", None, _npz_labels(file, names))
    images = [PurePosixPath(name) for name in names if name.lower().endswith(_IMAGES)]
    if not images:
        raise CommandError(f"{file.name} holds no images")
    return FilePlan(
        file, file.stem, "image", "zip", None, seen(path.parent.name for path in images if path.parent.name)
    )


def _npz_labels(file: Path, names: list[str]) -> list[str]:
    if "y.npy" not in names:
        return []
    import numpy as np

    with np.load(file, allow_pickle=False) as arrays:
        return seen(str(value) for value in arrays["y"].tolist())


def _inspect_jsonl(file: Path, text: TextIO) -> FilePlan:
    task: str | None = None

    def labels() -> Iterable[str]:
        nonlocal task
        for line in text:
            row = _row(line)
            if task is None:
                task = next((kind for kind in ("text", "image", "features") if row.get(kind) is not None), None)
            if isinstance(row.get("label"), str):
                yield row["label"]

    found = seen(labels())
    if task is None:
        raise CommandError(f"{file.name}: no row has text, image or features")
    return FilePlan(file, file.stem, task, "jsonl", None, found)


def _row(line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _inspect_table(file: Path, text: TextIO) -> FilePlan:
    header = text.readline()
    delimiter = "\t" if file.suffix.lower() in (".tsv", ".tab") else max(",;\t", key=header.count)
    text.seek(0)
    csv.field_size_limit(_FIELD_LIMIT)
    rows = csv.DictReader(text, delimiter=delimiter)
    columns = [name for name in rows.fieldnames or [] if name]
    if not columns:
        raise CommandError(f"{file.name} has no header line")
    label = next((name for name in columns if name.strip().lower() in LABEL_COLUMNS), None)
    sample: list[Mapping[str, Any]] = []
    found: dict[str, None] = {}
    try:
        for row in rows:
            if len(sample) < SAMPLE_ROWS:
                sample.append(row)
            value = row.get(label) if label else None
            if value and len(found) <= MOST_CLASSES:
                found[value] = None
            if label is None and len(sample) == SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # a broken row is the import's to report, with its line
    body = text_column([name for name in columns if name != label], sample)
    if body is None:
        raise CommandError(f"{file.name} has no column of texts")
    mapping = {"text": body} | ({"label": label} if label else {})
    same = all(name == column for name, column in mapping.items())
    return FilePlan(
        file,
        file.stem,
        "text",
        "tsv" if delimiter == "\t" else "csv",
        None if same else mapping,
        list(found)[:MOST_CLASSES],
    )


def text_column(columns: list[str], sample: list[Mapping[str, Any]]) -> str | None:
    """The column with a text's name, else the one whose cells are the longest."""
    for wanted in _TEXT_COLUMNS:
        for name in columns:
            if name.strip().lower() == wanted:
                return name
    if not columns:
        return None
    return max(columns, key=lambda name: sum(len(str(row.get(name) or "")) for row in sample))


def seen(values: Iterable[str]) -> list[str]:
    """Different values in order of first sight, at most as many as a project may have classes."""
    found: dict[str, None] = {}
    for value in values:
        if value and len(found) < MOST_CLASSES:
            found[value] = None
    return list(found)
