"""What ``python predict.py "a text"`` answers before anything heavy is loaded, where the student allows it."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

from predictor.contents import read_contents
from predictor.errors import BundleError
from predictor.files import BundleFiles
from predictor.graph_check import check_graph
from predictor.graph_parts import NotPlain
from predictor.plain_student import PlainStudent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

_MOST_TEXTS, _MOST_LETTERS = 16, 20_000  # beyond which a runtime has started sooner than they are answered
_MOST_BYTES = 16 << 20  # of a graph: many times what the largest student takes
_FORMATS = (None, "onnx", "onnx-int8")


def first_answers(arguments: Sequence[str], folder: Path) -> list[dict[str, Any]] | None:
    """The predictions of texts, as `Predictor.predict` gives them.

    Args:
        arguments: Of the command line.
        folder: The bundle's.

    Returns:
        A prediction for each argument; None where the whole program has to answer: for options, for many texts, for
        bundles of other kinds, and for those that are damaged, so that what is wrong is said in one place.
    """
    if not 1 <= len(arguments) <= _MOST_TEXTS or sum(map(len, arguments)) > _MOST_LETTERS:
        return None
    if any(argument.startswith("-") for argument in arguments):
        return None
    try:
        files = BundleFiles(folder)
        manifest, labels, preprocess = read_contents(files)
        kind = manifest.get("bundle"), manifest.get("runtime", "onnx"), manifest.get("task")
        if preprocess is not None or kind[0] not in _FORMATS or kind[1:] != ("onnx", "text"):
            return None
        model = files.checked("model.onnx", files.read("model.onnx", _MOST_BYTES), manifest)
        check_graph(model)
        student = PlainStudent(model)
        if student.width != len(labels):
            return None
        # What no encoding knows (half of a pair of surrogates) is replaced, as for a runtime.
        rows = student.probabilities([text.encode("utf-8", "replace").decode() for text in arguments])
    except (BundleError, NotPlain, OSError):
        return None
    return [_described(labels, row) for row in rows]


def print_first(arguments: Sequence[str], folder: Path) -> bool:
    """Print `first_answers`, one JSON object a line; whether there were any."""
    answers = first_answers(arguments, folder)
    if answers is None:
        return False
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    for answer in answers:
        print(json.dumps(answer, ensure_ascii=False))
    return True


def _described(labels: list[str], row: list[float]) -> dict[str, Any]:
    best = row.index(max(row))
    rounded = [round(value, 6) for value in row]
    probabilities = dict(zip(labels, rounded, strict=True))
    return {"label": labels[best], "confidence": rounded[best], "probabilities": probabilities}
