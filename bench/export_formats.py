"""Each format of bundles beside the others: agreement with the student, size, and speed on one thread.

Students of made-up texts, vectors and images, which learn in a second; the figures are about formats, not about them.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.report import as_text
from models.artifacts import save_student
from models.distill import distil
from models.errors import MissingExtra
from models.export.bundle import export_bundle
from models.export.card import CardFacts
from models.export.formats import FORMATS
from models.students.protocol import RawItem


def main() -> None:
    """Print a row for each family and format."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=1_000, help="items that are compared and timed")
    options.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    given = options.parse_args()
    rows = measure(given.items)
    print(json.dumps({"formats": rows}) if given.json else as_text({"formats": rows}))


def measure(n_items: int) -> list[dict[str, Any]]:
    """A row for each family and format; a format that cannot be made here says why."""
    rows = []
    for family, make in {"static": texts, "hashed": texts, "mlp": vectors, "convnet": images}.items():
        items, y = make(n_items, np.random.default_rng(0))
        soft = np.where(np.eye(2)[y] > 0, 0.9, 0.1)
        student = distil(
            family, items, soft, [], [], class_names=["a", "b"], rng=np.random.default_rng(1), epochs=4
        ).student
        with tempfile.TemporaryDirectory() as folder:
            save_student(Path(folder), student)
            for format in FORMATS:
                row: dict[str, Any] = {"family": family, "format": format}
                try:
                    report = export_bundle(
                        Path(folder), format, calibration=items[:200], parity_items=items, card=CardFacts("bench"),
                        out=Path(folder) / "bundle.zip",
                    )  # fmt: skip
                    row |= {
                        "agreement": report.parity["agreement"],
                        "model kB": round(report.model_bytes / 1e3, 1),
                        "one item, ms": report.latency.p50_ms,
                        "items/s": report.latency.items_per_second,
                    }
                except MissingExtra as missing:
                    row["agreement"] = str(missing)
                rows.append(row)
    return rows


def texts(n: int, rng: np.random.Generator) -> tuple[list[RawItem], np.ndarray[Any, np.dtype[np.int64]]]:
    """Texts of twelve words, of which a third belong to the class."""
    y = rng.integers(0, 2, n)
    made: list[RawItem] = [
        " ".join([*(f"w{label}{k}" for k in rng.integers(0, 200, 4)), *(f"x{k}" for k in rng.integers(0, 900, 8))])
        for label in y
    ]
    return made, y


def vectors(n: int, rng: np.random.Generator) -> tuple[list[RawItem], np.ndarray[Any, np.dtype[np.int64]]]:
    """Vectors of 384 features around two centres."""
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 384)).astype(np.float32)
    X[:, :8] += 2 * y[:, None]
    return list(X), y


def images(n: int, rng: np.random.Generator) -> tuple[list[RawItem], np.ndarray[Any, np.dtype[np.int64]]]:
    """Grey images of 28 × 28 whose left or right half is lighter."""
    from PIL import Image

    y = rng.integers(0, 2, n)
    made: list[RawItem] = []
    for label in y:
        pixels = rng.integers(0, 120, (28, 28))
        pixels[:, 14 * label : 14 * label + 14] += 90
        out = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
        made.append(out.getvalue())
    return made, y


if __name__ == "__main__":
    main()
