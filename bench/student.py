"""Students of each family beside their teacher: accuracy, size and speed, side by side in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.encode import TorchMiniLM
from bench.student_process import served
from bench.texts import labelled_texts

FAMILIES = ("static", "hashed")
_TEST, _TORCH_TEXTS, _REPEATS = 2_000, 384, 3
_TORCH_BATCHES = (8, 32, 128)
_CALIBRATION = 100
_MINILM_BYTES = 90_900_000  # the published network in fp32, of which the teacher's encoder is made

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A set of texts: the pool with its features (n, d), the classes, and texts that nothing is trained on."""

    name: str
    source: str
    class_names: tuple[str, ...]
    texts: list[str]
    features: FloatArray
    y: IntArray
    test_texts: list[str]
    test_features: FloatArray
    test_y: IntArray


def measure(
    labels: int, *, pool: int = 5_000, sets: Sequence[str] = ("agnews",), families: Sequence[str] = FAMILIES
) -> dict[str, Any]:
    """Distil students of a teacher with ``labels`` labels, and of one with all of them, and hold them beside it.

    Speed is in texts for each second of CPU on one thread, tokenisation included, so that what else the machine does
    counts little; ``times_torch`` and ``times_onnx`` are ratios of it to the teacher's: its encoder in torch at its
    best batch size with texts sorted by length, and in INT8 on onnxruntime. Latency, cold start and memory are those of
    ``predict.py`` in a process of its own. A quarter of the labels, a hundred at most, says how sure a student may be
    and teaches it nothing.
    """
    from models.encoders import resolve_auto

    encoder = resolve_auto("auto", "text")
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
        rows = [row for name in sets for row in _of_set(name, labels, pool, families, encoder, Path(folder))]
    return {"labels": labels, "encoder": encoder, "models": rows}


def _of_set(
    name: str, labels: int, pool: int, families: Sequence[str], encoder_name: str, folder: Path
) -> list[dict[str, Any]]:
    from models.encoders import make_encoder
    from models.teachers import LogisticTeacher

    encoder = make_encoder(encoder_name, "text", cache=folder / "cache", threads=1)
    task = _task(name, pool, encoder)
    rng = np.random.default_rng(0)
    labelled = np.sort(rng.permutation(len(task.texts))[: min(labels, len(task.texts) // 2)])
    K = len(task.class_names)

    def taught(rows: IntArray) -> LogisticTeacher:
        explored = np.ones(len(rows), bool)
        return LogisticTeacher.fit(task.features[rows], task.y[rows], K, explored, rng=rng, pool=task.features)

    teacher, strong = taught(labelled), taught(np.arange(len(task.texts)))
    torch_speed, batch = _torch_speed(task.test_texts[:_TORCH_TEXTS], teacher)
    onnx_speed = per_cpu_second(
        lambda: teacher.predict_proba(encoder.encode(task.test_texts).features), task.test_texts
    )
    P = teacher.predict_proba(task.test_features)
    accuracy, strong_accuracy = (
        _accuracy(P, task.test_y),
        _accuracy(strong.predict_proba(task.test_features), task.test_y),
    )
    about = {"set": name, "source": task.source, "pool": len(task.texts), "labels": len(labelled)}
    rows: list[dict[str, Any]] = [
        {**about, "model": f"teacher in torch, batches of {batch}", "mb": _MINILM_BYTES / 1e6,
         **_teacher_figures(accuracy, strong_accuracy, P, task, torch_speed, torch_speed, onnx_speed)},
        {**about, "model": "teacher in ONNX INT8", "mb": _graph_mb(folder / "cache"),
         **_teacher_figures(accuracy, strong_accuracy, P, task, onnx_speed, torch_speed, onnx_speed)},
    ]  # fmt: skip
    for family in families:
        found = _student(family, task, labelled, teacher, folder / f"{name}-{family}")
        weak_retention = found["accuracy"] / accuracy
        kept = _distil(family, task, np.arange(len(task.texts)), strong)
        strong_student = _accuracy(kept.student.predict_proba(task.test_texts), task.test_y)
        alone = _labels_only(family, task, labelled)
        speed = found.pop("speed")
        rows.append(
            {
                **about,
                "model": family,
                **found,
                "retention": weak_retention,
                "strong_accuracy": strong_student,
                "strong_retention": strong_student / strong_accuracy,
                "labels_only": alone,
                "texts_per_cpu_second": speed,
                "times_torch": speed / torch_speed if torch_speed else None,
                "times_onnx": speed / onnx_speed,
            }
        )
    return rows


def _task(name: str, pool: int, encoder: Any) -> Task:
    texts, labels, source = labelled_texts(1_000_000, name)
    chosen = np.random.default_rng(1).permutation(len(texts))[:pool]
    texts, labels = [texts[i] for i in chosen], [labels[i] for i in chosen]
    test_texts, test_labels, _ = labelled_texts(_TEST, name, "test")
    class_names = tuple(sorted(set(labels) | set(test_labels)))
    index = {each: number for number, each in enumerate(class_names)}
    encoder.fit(texts, np.random.default_rng(0))
    features, test_features = (encoder.encode(each).features.astype(np.float32) for each in (texts, test_texts))
    y, test_y = (np.array([index[label] for label in each], np.int64) for each in (labels, test_labels))
    return Task(name, source, class_names, texts, features, y, test_texts, test_features, test_y)


def _distil(family: str, task: Task, labelled: IntArray, teacher: Any) -> Any:
    from models.distill import distil

    apart = labelled[:: max(4, len(labelled) // _CALIBRATION)][:_CALIBRATION]
    learned = np.setdiff1d(labelled, apart)
    pool = np.setdiff1d(np.arange(len(task.texts)), apart)
    return distil(
        family,
        [task.texts[i] for i in pool],
        teacher.predict_proba(task.features[pool]),
        [task.texts[i] for i in learned],
        task.y[learned],
        class_names=task.class_names,
        rng=np.random.default_rng(0),
        features=task.features[pool],
        calibration=([task.texts[i] for i in apart], task.y[apart]),
    )


def _labels_only(family: str, task: Task, labelled: IntArray) -> float:
    from models.distill import distil

    K = len(task.class_names)
    items = [task.texts[i] for i in labelled]
    rng = np.random.default_rng(0)
    made = distil(family, [], np.zeros((0, K)), items, task.y[labelled], class_names=task.class_names, rng=rng)
    return _accuracy(made.student.predict_proba(task.test_texts), task.test_y)


def _student(family: str, task: Task, labelled: IntArray, teacher: Any, folder: Path) -> dict[str, Any]:
    """A student as its bundle answers, and what it took to train."""
    from models.artifacts import save_student
    from models.evaluate import expected_calibration_error
    from models.export.bundle import export_bundle
    from models.export.card import CardFacts
    from predictor import load

    began = time.process_time()
    made = _distil(family, task, labelled, teacher)
    trained = time.process_time() - began
    save_student(folder / "student", made.student)
    report = export_bundle(
        folder / "student",
        calibration=task.texts[:500],
        parity_items=task.texts[:5_000],
        card=CardFacts("bench"),
        out=folder / "bundle.zip",
    )
    bundle = _unpacked(report.path, folder / "bundle")
    predictor = load(bundle, threads=1)
    P = predictor.predict_proba(task.test_texts)
    return {
        "mb": report.model_bytes / 1e6,
        "accuracy": _accuracy(P, task.test_y),
        "ece": expected_calibration_error(task.test_y, P),
        "agreement_int8": report.parity["agreement"],
        "train_cpu_s": trained,
        "speed": per_cpu_second(lambda: predictor.predict_proba(task.test_texts), task.test_texts),
        **served(bundle, task.test_texts),
    }


def _teacher_figures(
    accuracy: float, strong: float, P: FloatArray, task: Task, speed: float | None, torch: float | None, onnx: float
) -> dict[str, Any]:
    from models.evaluate import expected_calibration_error

    return {
        "accuracy": accuracy,
        "retention": 1.0,
        "strong_accuracy": strong,
        "strong_retention": 1.0,
        "ece": expected_calibration_error(task.test_y, P),
        "texts_per_cpu_second": speed,
        "times_torch": speed / torch if speed and torch else None,
        "times_onnx": speed / onnx if speed else None,
    }


def _torch_speed(texts: list[str], teacher: Any) -> tuple[float | None, int | None]:
    """Of encoder and head at the best of some batch sizes, and which it is; None without the extra."""
    try:
        network = TorchMiniLM()
    except ImportError:
        return None, None
    network.encode(texts[:16])
    speeds = {}
    for batch in _TORCH_BATCHES:

        def run(batch: int = batch) -> object:
            return teacher.predict_proba(network.encode(texts, batch))

        speeds[batch] = per_cpu_second(run, texts, 1)
    best = max(speeds, key=lambda batch: speeds[batch])
    return speeds[best], best


def per_cpu_second(run: Callable[[], object], items: Sequence[object], repeats: int = _REPEATS) -> float:
    """Items for each second of CPU, the best of some runs."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return len(items) / best


def _accuracy(P: FloatArray, y: IntArray) -> float:
    return float((P.argmax(1) == y).mean())


def _unpacked(path: Path, folder: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def _graph_mb(cache: Path) -> float | None:
    sizes = [path.stat().st_size for path in cache.rglob("*.onnx")]
    return max(sizes) / 1e6 if sizes else None
