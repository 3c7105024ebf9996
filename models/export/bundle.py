"""Folders and zips that the predictor reads: the serving folder of each round, and the bundle of an export."""

from __future__ import annotations

import hashlib
import json
import platform
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.artifacts import load_student
from models.compress import Compressed, compress
from models.errors import ModelError
from models.export.card import CardFacts, CardFigures, Latency, write_card
from models.export.onnx_graph import INPUT, OUTPUT
from models.students.protocol import RawItem
from models.students.student import Student
from predictor import pieces, runtime
from predictor.runtime import Predictor

FORMATS = ("onnx-int8", "onnx")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: the same student gives the same bytes
_TIMED_ALONE = 50
_TIMED_TOGETHER = 1_000


@dataclass(frozen=True)
class BundleReport:
    """What came out of an export.

    Attributes:
        path: The zip.
        bytes: Its size.
        model_bytes: Size of model.onnx in it.
        parity: Agreement with the fp32 student, and accuracies where they were measured.
        layers: How each layer is stored: int8 or fp32.
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
    files = _serving_files(student, model)
    files["manifest.json"] = _json(_manifest(student, files))
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
) -> BundleReport:
    """Write a bundle: the student as ONNX, what runs it, what describes it.

    Args:
        student_folder: What `models.artifacts.save_student` wrote.
        format: ``onnx-int8``, or ``onnx`` for fp32.
        calibration: Some hundred raw items of the pool.
        parity_items: Up to 5,000 random raw items of the pool.
        card: What the model card is to say.
        out: Path of the zip.
        measured: Raw items with labels that were not trained on, and their class indices.
        latency: Given instead of measured, for instance to get the same bytes twice.

    Raises:
        ParityError: the graph does not predict what the student predicts.
        ModelError: an unknown format. CorruptModel: a damaged student.
    """
    if format not in FORMATS:
        raise ModelError(f"There is no bundle format {format!r}; use one of: {', '.join(FORMATS)}.")
    student = load_student(student_folder)
    truth = (measured[0], np.asarray(measured[1], np.int64)) if measured is not None else None
    compressed = compress(
        student, calibration=calibration, items=parity_items, measured=truth, int8=format == "onnx-int8"
    )
    if latency is None:
        latency = measure_latency(student, compressed.model, [*parity_items[:_TIMED_TOGETHER]] or calibration)
    files = _bundle_files(student, compressed, format, card, latency)
    _write_zip(out, files)
    return BundleReport(
        out, out.stat().st_size, len(compressed.model), compressed.parity.to_dict(), compressed.layers, latency
    )


def measure_latency(student: Student, model: bytes, items: Sequence[RawItem]) -> Latency:
    """Median milliseconds of one item, and items a second of many, on one thread; zeros without items."""
    predictor = Predictor(model, student.class_names, student.task, student.network.preprocess())
    if not len(items):
        return Latency(0.0, 0.0, _machine())
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
    return Latency(round(1000 * float(np.median(alone)), 4), round(len(items) / min(together), 1), _machine())


def _bundle_files(
    student: Student, compressed: Compressed, format: str, facts: CardFacts, latency: Latency
) -> dict[str, bytes]:
    files = _serving_files(student, compressed.model)
    parity = compressed.parity.to_dict()
    figures = CardFigures(
        student.task,
        student.family,
        format,
        student.class_names,
        int(student.config()["parameters"]),
        len(compressed.model),
        parity,
        compressed.layers,
        latency,
    )
    files["predict.py"] = predict_source().encode()
    files["requirements.txt"] = "".join(f"{name}=={n}\n" for name, n in _requirements(student).items()).encode()
    files["README.md"] = write_card(facts, figures).encode()
    extra = {
        "project": facts.project,
        "version": facts.version,
        "bundle": format,
        "label_counts": dict(facts.label_counts),
        "classes_never_seen": facts.never_seen(student.class_names),
        "accuracy": dict(facts.accuracy) if facts.accuracy else None,
        "energy": dict(facts.energy) if facts.energy else None,
        "metrics": dict(facts.metrics),
        "parity": parity,
        "layers": compressed.layers,
        "latency": {"p50_ms": latency.p50_ms, "items_per_second": latency.items_per_second, "on": latency.machine},
        "recipe": dict(facts.recipe),
        "seed": facts.seed,
        "teacher": facts.teacher,
        "created_at": facts.created_at,
        "versions": {**_requirements(student), "python": platform.python_version(), "torch": version("torch")},
    }
    files["manifest.json"] = _json({**_manifest(student, files), **extra})
    return files


def predict_source() -> str:
    """The predictor as one file: its runtime with the modules that it imports from this project in their place."""
    source = Path(runtime.__file__).read_text("utf-8")
    _, _, body = Path(pieces.__file__).read_text("utf-8").partition("from __future__ import annotations\n")
    return source.replace("from predictor.pieces import WordPieces\n", body)


def _serving_files(student: Student, model: bytes) -> dict[str, bytes]:
    files = {"model.onnx": model, "labels.json": _json(list(student.class_names))}
    preprocess = student.network.preprocess()
    if preprocess is not None and "tokenizer" in preprocess:
        files["tokenizer.json"] = preprocess.pop("tokenizer").encode()
    if preprocess is not None:
        files["preprocess.json"] = _json(preprocess)
    return files


def _manifest(student: Student, files: Mapping[str, bytes]) -> dict[str, Any]:
    import onnx

    graph = onnx.load_model_from_string(files["model.onnx"]).graph

    def describe(value: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = value.type.tensor_type
        shape = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        return {"name": value.name, "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}

    return {
        "format": runtime.FORMAT,
        "task": student.task,
        "family": student.family,
        "inputs": [describe(value) for value in graph.input if value.name == INPUT],
        "outputs": [describe(value) for value in graph.output if value.name == OUTPUT],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }


def _requirements(student: Student) -> dict[str, str]:
    names = ["numpy", "onnxruntime", *(["pillow"] if student.task == "image" else [])]
    if "tokenizer" in (student.network.preprocess() or {}):
        names.append("tokenizers")
    return {name: version(name) for name in names}


def _write_zip(out: Path, files: Mapping[str, bytes]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays among the facts, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


def _machine() -> str:
    """The processor's name where the system tells it, else its kind."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
