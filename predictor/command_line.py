"""Predictions from a bundle's folder, with numpy and the runtime of its format (onnxruntime) only.

Pillow is needed too where the items are images.

    python predict.py "a text" "another text"
    python predict.py --file in.jsonl          rows {"text": …}, {"image": base64} or {"features": […]}
    python predict.py a.png b.jpg              for a bundle over images
    python predict.py "[0.1, 2.5, …]"          for a bundle over features

prints one JSON object a line: ``{"label": …, "confidence": …, "probabilities": {…}}``.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from predictor.errors import BundleError, ItemError
from predictor.items import Item, Prediction, item_of_row
from predictor.runtime import Predictor, load

_ROWS = 4096  # that are read and answered at once


def _item_of_argument(argument: str, task: str) -> Item:
    if task == "text":
        return argument
    if task == "image":
        try:
            return Path(argument).read_bytes()
        except OSError as error:
            raise ValueError(f"{argument}: {error.strerror}") from error
    return item_of_row({task: json.loads(argument)}, task)


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
            yield item_of_row(json.loads(source), task) if rows else _item_of_argument(source, task), ""
        except ValueError as error:
            yield None, str(error)


def _print_all(predictor: Predictor, pending: Iterator[tuple[Item | None, str]]) -> int:
    failed = 0
    while chunk := list(islice(pending, _ROWS)):
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
