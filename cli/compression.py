"""Texts of a pool from a file, for compressing an encoder on them."""

from __future__ import annotations

import json
from pathlib import Path

from cli.errors import CommandError


def read_texts(path: Path) -> list[str]:
    """The texts of a JSONL file.

    Raises:
        CommandError: A row is no object with a text, or there is no row.
    """
    texts = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise CommandError(
                    f'{path}, line {number}: a row must be an object with "text", such as {{"text": "…"}}'
                )
            texts.append(row["text"])
    if not texts:
        raise CommandError(f"{path} has no rows: give JSONL with a text in each")
    return texts
