"""Folders and zips that the predictor reads: the serving folder of each round, and the bundle of an export."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.artifacts import load_student
from models.compress import compress
from models.errors import ModelError
from models.export.archive import write_archive
from models.export.card import CardFacts, CardFigures, Latency, write_card
from models.export.collection import collection_files
from models.export.formats import (
    FORMATS,
    GRAPH_FORMATS,
    OTHER_FORMATS,
    TOKENIZER,
    Exported,
    export_model,
    packages,
    preprocess_for,
)
from models.export.onnx_graph import INPUT, OUTPUT
from models.profile import processor
from models.students.protocol import RawItem
from models.students.student import Student
from predictor.contents import FORMAT
from predictor.runtime import Predictor
from predictor.source import predict_source

_TIMED_ALONE = 50
_TIMED_TOGETHER = 1_000


@dataclass(frozen=True)
class BundleReport:
    """What came out of an export.

    Attributes:
        path: The zip.
        bytes: Its size.
        model_bytes: Size of the model's files in it.
        parity: Agreement with the fp32 student, and accuracies where they were measured.
        layers: How each layer is stored: int8, fp16 or fp32.
        latency: As measured here.
    """

    path: Path
    bytes: int
    model_bytes: int
    parity: Mapping[str, Any]
    layers: Mapping[str, str]
    latency: Latency


def write_serving_folder(student: Student, folder: Path) -> None:
    """Write the fp32 student as a folder that `predictor.load` reads; other files in it are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    model = student.to_onnx().SerializeToString(deterministic=True)
    files = _serving_files(student, {"model.onnx": model})
    files["manifest.json"] = _json(_manifest(student, files, model, "onnx"))
    for name, data in files.items():
        (folder / name).write_bytes(data)


def export_bundle(
    student_folder: Path,
    format: str = "onnx-int8",
    *,
    calibration: Sequence[RawItem],
    parity_items: Sequence[RawItem],
    card: CardFacts,
    out: Path,
    measured: tuple[Sequence[RawItem], ArrayLike] | None = None,
    latency: Latency | None = None,
    collect: bool = False,
) -> BundleReport:
    """Write a bundle: the student in a format, what runs it, what describes it.

    Args:
        student_folder: What `models.artifacts.save_student` wrote.
        format: One of `FORMATS`: ``onnx-int8``, ``onnx`` for fp32, or a form for another runtime.
        calibration: Some hundred raw items of the pool.
        parity_items: Up to 5,000 random raw items of the pool.
        card: What the model card is to say.
        out: Path of the zip.
        measured: Raw items with labels that were not trained on, and their class indices.
        collect: Whether it may collect inputs where it runs (and then only when told to).
        latency: Given instead of measured, for instance to get the same bytes twice.

    Raises:
        ParityError: the graph does not predict what the student predicts.
        ModelError: an unknown format, or one that the student's family cannot be had in.
        MissingExtra: what converts to the format is not installed. CorruptModel: a damaged student.
    """
    if format not in FORMATS:
        raise ModelError(f"There is no bundle format {format!r}; use one of: {', '.join(FORMATS)}.")
    student = load_student(student_folder)
    truth = (measured[0], np.asarray(measured[1], np.int64)) if measured is not None else None
    if format in GRAPH_FORMATS:
        int8 = format == "onnx-int8"
        exported = Exported.of_graph(
            compress(student, calibration=calibration, items=parity_items, measured=truth, int8=int8)
        )
    else:
        exported = export_model(student, format, items=parity_items, measured=truth)
    if latency is None:
        timed = [*parity_items[:_TIMED_TOGETHER]] or calibration
        latency = measure_latency(student, exported.files, timed, runtime=exported.runtime)
    collection = collection_files(student.task, parity_items) if collect else {}
    files = _bundle_files(student, exported, format, card, latency, collection)
    write_archive(out, files)
    size = sum(map(len, exported.files.values()))
    return BundleReport(out, out.stat().st_size, size, exported.parity.to_dict(), exported.layers, latency)


def measure_latency(
    student: Student, model: bytes | Mapping[str, bytes], items: Sequence[RawItem], *, runtime: str = "onnx"
) -> Latency:
    """Median milliseconds of one item, and items a second of many, on one thread; zeros without items."""
    predictor = Predictor(
        model, student.class_names, student.task, preprocess_for(student.network, runtime), runtime=runtime
    )
    if not len(items):
        return Latency(0.0, 0.0, processor())
    predictor.predict(items)
    alone = []
    for index in range(_TIMED_ALONE):
        started = time.perf_counter()
        predictor.predict([items[index % len(items)]])
        alone.append(time.perf_counter() - started)
    together = []
    for _ in range(3):
        started = time.perf_counter()
        predictor.predict(items)
        together.append(time.perf_counter() - started)
    return Latency(round(1000 * float(np.median(alone)), 4), round(len(items) / min(together), 1), processor())


def _bundle_files(
    student: Student,
    exported: Exported,
    format: str,
    facts: CardFacts,
    latency: Latency,
    collection: Mapping[str, bytes],
) -> dict[str, bytes]:
    files = _serving_files(student, exported.files, exported.runtime) | dict(collection)
    parity = exported.parity.to_dict()
    needed = packages(format, student.network)
    files["predict.py"] = predict_source()
    files["requirements.txt"] = "".join(f"{name}=={n}\n" for name, n in needed.items()).encode()
    files["README.md"] = write_card(facts, _figures(student, exported, format, latency)).encode()
    files.update({f"{name}.png": picture for name, picture in facts.pictures.items()})
    if facts.report is not None:
        files["report.json"] = _json(dict(facts.report))
    extra = {
        "project": facts.project,
        "version": facts.version,
        "bundle": format,
        "collect": bool(collection),
        "label_counts": dict(facts.label_counts),
        "classes_never_seen": facts.never_seen(student.class_names),
        "accuracy": dict(facts.accuracy) if facts.accuracy else None,
        "energy": dict(facts.energy) if facts.energy else None,
        "metrics": dict(facts.metrics),
        "parity": parity,
        "layers": exported.layers,
        "latency": {"p50_ms": latency.p50_ms, "items_per_second": latency.items_per_second, "on": latency.machine},
        "recipe": dict(facts.recipe),
        "seed": facts.seed,
        "training": dict(facts.training) if facts.training else None,
        "teacher": facts.teacher,
        "created_at": facts.created_at,
        "versions": {**needed, "python": platform.python_version(), "torch": version("torch")},
    }
    graph = exported.files.get("model.onnx") or student.to_onnx().SerializeToString(deterministic=True)
    files["manifest.json"] = _json({**_manifest(student, files, graph, exported.runtime), **extra})
    return files


def _figures(student: Student, exported: Exported, format: str, latency: Latency) -> CardFigures:
    """What the card says of the exported model itself."""
    return CardFigures(
        student.task,
        student.family,
        format,
        student.class_names,
        int(student.config()["parameters"]),
        sum(map(len, exported.files.values())),
        exported.parity.to_dict(),
        exported.layers,
        latency,
        tuple(sorted(exported.files)),
        OTHER_FORMATS[format].library if format in OTHER_FORMATS else "onnxruntime",
    )


def _serving_files(student: Student, model: Mapping[str, bytes], runtime: str = "onnx") -> dict[str, bytes]:
    files = {**model, "labels.json": _json(list(student.class_names))}
    preprocess = preprocess_for(student.network, runtime)
    if preprocess is not None and TOKENIZER in preprocess:
        files["tokenizer.json"] = preprocess.pop(TOKENIZER).encode()
    if preprocess is not None:
        files["preprocess.json"] = _json(preprocess)
    return files


def _manifest(student: Student, files: Mapping[str, bytes], model: bytes, runtime: str) -> dict[str, Any]:
    """Checksums of the files, and inputs and outputs as a graph of the same student has them."""
    import onnx

    graph = onnx.load_model_from_string(model).graph

    def describe(value: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = value.type.tensor_type
        shape = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        return {"name": value.name, "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}

    return {
        "format": FORMAT,
        "runtime": runtime,
        "task": student.task,
        "family": student.family,
        "inputs": [describe(value) for value in graph.input if value.name == INPUT],
        "outputs": [describe(value) for value in graph.output if value.name == OUTPUT],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays among the facts, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
