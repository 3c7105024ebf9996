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
import importlib.util
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

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


def _print_all(predictor: Predictor, pending: Iterator[tuple[Item | None, str]], collector: Any = None) -> int:
    failed = 0
    while chunk := list(islice(pending, _ROWS)):
        answers = list(_answer(predictor, chunk))
        for answer in answers:
            failed += "error" in answer
            print(json.dumps(answer, ensure_ascii=False))
        if collector is not None:
            collector.note([item for item, _ in chunk], answers)
    if failed:
        print(f"{failed} items could not be read: see the lines with an error.", file=sys.stderr)
    return 1 if failed else 0


def _collector(predictor: Predictor, arguments: argparse.Namespace) -> Any:
    """What keeps inputs that are worth labelling, where it is asked for; raises BundleError where it may not."""
    source = Path(__file__).with_name("collect.py")
    if not arguments.collect:
        return None
    if not source.exists():
        raise BundleError(
            "This bundle was exported without consent to collect inputs: set the project's setting collect to true and "
            "export it again."
        )
    spec = importlib.util.spec_from_file_location("winnow_collect", source)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 — a file that is there
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.open_collector(predictor, arguments.bundle, arguments.collect, arguments.collect_most)
    except module.CollectError as error:
        raise BundleError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 where an item or the bundle was bad, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="predict.py", description="Predict with this bundle; prints JSONL.")
    parser.add_argument("item", nargs="*", help="a text, the path of an image, or a JSON list of features")
    parser.add_argument("--file", help='JSONL with "text", "image" (base64) or "features"; - is standard input')
    parser.add_argument("--bundle", default=Path(__file__).parent, help="folder of the bundle (default: this file's)")
    parser.add_argument("--threads", type=int, default=1, help="threads of onnxruntime (default: 1)")
    parser.add_argument("--collect", metavar="FILE", help="keep the inputs worth labelling in FILE (JSONL, to import)")
    parser.add_argument("--collect-most", metavar="N", type=int, default=1000, help="rows of FILE (default: 1000)")
    arguments = parser.parse_args(argv)
    if bool(arguments.item) == bool(arguments.file):
        parser.error("give either items or --file")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        predictor = load(arguments.bundle, threads=arguments.threads)
        collector = _collector(predictor, arguments)
        if not arguments.file:
            return _print_all(predictor, _read(arguments.item, predictor.task, rows=False), collector)
        if arguments.file == "-":
            return _print_all(predictor, _read(sys.stdin, predictor.task, rows=True), collector)
        with Path(arguments.file).open(encoding="utf-8-sig") as lines:
            return _print_all(predictor, _read(lines, predictor.task, rows=True), collector)
    except (BundleError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
