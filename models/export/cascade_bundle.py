"""Bundles of two models: a student's, to which a compressed teacher is added for what the student is not sure of."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from models.artifacts import load_student
from models.cascade import MIX, Threshold, choose_threshold
from models.compression.compact import Compact
from models.compression.text_graph import add_head
from models.errors import BadInput
from models.export.archive import write_archive
from models.export.bundle import BundleReport, export_bundle
from models.export.card import CardFacts, Latency
from models.export.formats import TOKENIZER
from models.linear_head import LinearHead
from models.students.protocol import RawItem
from models.students.student import Student
from predictor.cascade import Cascade, TextNetwork
from predictor.runtime import Predictor

FORMAT = "cascade"
_TEACHER, _TOKENIZER = "teacher.onnx", "tokenizer.json"
_TIMED = 200


@dataclass(frozen=True)
class CascadeTeacher:
    """What reads the doubtful texts: an encoder and a head that answers with the student's classes, in their order."""

    encoder: Compact
    head: LinearHead


def export_cascade(
    student_folder: Path,
    teacher: CascadeTeacher,
    *,
    fresh: Sequence[RawItem],
    calibration: Sequence[RawItem],
    parity_items: Sequence[RawItem],
    card: CardFacts,
    out: Path,
    measured: tuple[Sequence[RawItem], ArrayLike] | None = None,
    accuracy: float | None = None,
    share: float | None = None,
    latency: Latency | None = None,
    collect: bool = False,
) -> tuple[BundleReport, Threshold]:
    """Write a bundle whose predict.py asks the student, and of what it is not sure the teacher too.

    Args:
        student_folder: What `models.artifacts.save_student` wrote; of a student that reads texts.
        teacher: An encoder and a head.
        fresh: Texts that the student was not distilled on: they say how often it will not be sure.
        calibration: As for `models.export.bundle.export_bundle`, as are ``parity_items``, ``card``, ``measured`` and
            ``latency``.
        parity_items: Random items of the pool.
        card: What the model card is to say.
        out: Path of the zip.
        measured: Texts with labels that were not trained on, and their class indices.
        accuracy: What the cascade is to reach on them, 0 … 1.
        share: What is to be passed on, 0 … 1; see `models.cascade.choose_threshold`.
        latency: Of the student alone.
        collect: Whether it may collect inputs where it runs: what the answer of the two together is least sure of.

    Raises:
        BadInput: The student reads no texts or brings a tokenizer of its own, the head has other classes, or there are
            no fresh texts.
        ParityError, ModelError, CorruptModel: As `export_bundle` and `choose_threshold`.
    """
    student = load_student(student_folder)
    _check_pair(student, teacher)
    graph = _with_head(teacher)
    with tempfile.TemporaryDirectory(prefix="winnow-cascade-") as scratch:
        plain = Path(scratch) / "student.zip"
        options: dict[str, Any] = {"calibration": calibration, "parity_items": parity_items, "measured": measured}
        options |= {"latency": latency, "collect": collect}
        report = export_bundle(student_folder, "onnx-int8", card=card, out=plain, **options)
        with zipfile.ZipFile(plain) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    labels, preprocess = json.loads(files["labels.json"]), json.loads(files.get("preprocess.json", b"{}"))
    alone = Predictor(files["model.onnx"], labels, "text", preprocess)
    network = TextNetwork(graph, teacher.encoder.tokenizer.encode(), teacher.encoder.settings)
    threshold = choose_threshold(
        alone.predict_proba(list(fresh)),
        network.run([str(text) for text in fresh]),
        _labelled(alone, network, measured),
        accuracy=accuracy,
        share=share,
    )
    settings = {"threshold": threshold.value, "mix": MIX, **teacher.encoder.settings}
    preprocess["cascade"] = settings
    files |= {_TEACHER: graph, _TOKENIZER: teacher.encoder.tokenizer.encode(), "preprocess.json": _json(preprocess)}
    cascade = Cascade(files["model.onnx"], labels, "text", preprocess, teacher=graph, tokenizer=files[_TOKENIZER])
    speed = _speed(cascade, fresh)
    _describe(files, threshold, teacher, speed)
    write_archive(out, files)
    return replace(report, path=out, bytes=out.stat().st_size), threshold


def _check_pair(student: Student, teacher: CascadeTeacher) -> None:
    if student.task != "text":
        raise BadInput(f"A cascade reads texts; this student reads {student.task} items. Export it as onnx-int8.")
    if TOKENIZER in (student.network.preprocess() or {}):
        raise BadInput(
            f"A cascade has one tokenizer, its teacher's; a student of the family {student.family!r} brings its own. "
            "Export it as onnx-int8."
        )
    if len(teacher.head.intercept) != len(student.class_names):
        n = len(teacher.head.intercept)
        raise BadInput(f"The teacher's head knows {n} classes, the student {len(student.class_names)}.")


def _labelled(
    alone: Predictor, network: TextNetwork, measured: tuple[Sequence[RawItem], ArrayLike] | None
) -> tuple[ArrayLike, ArrayLike, ArrayLike] | None:
    if measured is None or not len(measured[0]):
        return None
    texts = [str(text) for text in measured[0]]
    return alone.predict_proba(texts), network.run(texts), measured[1]


def _with_head(teacher: CascadeTeacher) -> bytes:
    import onnx

    model = onnx.load_model_from_string(teacher.encoder.model)
    data: bytes = add_head(model, teacher.head.coef, teacher.head.intercept).SerializeToString(deterministic=True)
    return data


def _speed(cascade: Cascade, texts: Sequence[RawItem]) -> float:
    """Texts a second on one thread, as many passed on as of these."""
    some = [str(text) for text in texts[:_TIMED]]
    cascade.predict_proba(some[:2])
    began = time.perf_counter()
    cascade.predict_proba(some)
    return round(len(some) / (time.perf_counter() - began), 1)


def _describe(files: dict[str, bytes], threshold: Threshold, teacher: CascadeTeacher, speed: float) -> None:
    """Put the cascade into requirements, card and manifest."""
    pin = f"tokenizers=={version('tokenizers')}\n"
    files["requirements.txt"] += pin.encode()
    card = files["README.md"].decode().replace("format `onnx-int8`", f"format `{FORMAT}`")
    before, limits, after = card.partition("## Limits\n")
    files["README.md"] = (before + _section(threshold, len(files[_TEACHER]), speed) + limits + after).encode()
    manifest = json.loads(files["manifest.json"])
    manifest |= {
        "bundle": FORMAT,
        "cascade": {
            **threshold.to_dict(),
            "mix": MIX,
            "texts_per_second": speed,
            "teacher_bytes": len(files[_TEACHER]),
            "encoder_digest": teacher.encoder.digest,
            "head_c": teacher.head.C,
        },
    }
    manifest["versions"] = {**manifest.get("versions", {}), "tokenizers": version("tokenizers")}
    manifest["sha256"] = {
        name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items()) if name != "manifest.json"
    }
    files["manifest.json"] = _json(manifest)


def _section(threshold: Threshold, teacher_bytes: int, speed: float) -> str:
    against = "accurate" if threshold.measured_on == "labels" else "in agreement with the teacher"
    of = "labels that neither was trained on" if threshold.measured_on == "labels" else "items of the pool"
    return (
        "## Cascade\n\n"
        f"Where the student's best class leads the second by less than {threshold.value:.3f} the teacher (an encoder "
        f"with a linear head, {teacher_bytes / 1e6:.1f} MB) is asked too, and the answer is the mean of both; `source` "
        f"says which answered. That happens to {threshold.passed_on:.1%} of items like those of the pool, as "
        f"{threshold.fresh:,} show that the student did not learn from.\n\n"
        f"On {threshold.items:,} {of} the cascade is {threshold.accuracy:.1%} {against}, the student alone "
        f"{threshold.student:.1%}, the teacher alone {threshold.teacher:.1%}. Many texts at once: {speed:,.0f} a "
        "second on one thread.\n\n"
    )


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()
