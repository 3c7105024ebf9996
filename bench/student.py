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
from bench.real_features import keep_features
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
    labels: int,
    *,
    pool: int = 5_000,
    sets: Sequence[str] = ("agnews",),
    families: Sequence[str] = FAMILIES,
    seeds: int = 1,
    kept: Path | None = None,
) -> dict[str, Any]:
    """Distil students of a teacher with ``labels`` labels, and of one with all of them, and hold them beside it.

    Each seed draws other labels, and its students begin otherwise: accuracies, calibration and training are means over
    the seeds, ``…_spread`` the standard deviation between them, sizes and speeds the first one's. Speed is in texts for
    each second of CPU on one thread, tokenisation included, so that what else the machine does counts little;
    ``times_torch`` and ``times_onnx`` are ratios of it to the teacher's: its encoder in torch at its best batch size
    with texts sorted by length, and in INT8 on onnxruntime. Latency, cold start and memory are those of ``predict.py``
    in a process of its own. A quarter of the labels, a hundred at most, says how sure a student may be and teaches it
    nothing. Features of MiniLM are read from the folder ``kept`` where given, or encoded and kept there.
    """
    from models.encoders import make_encoder, resolve_auto

    encoder = resolve_auto("auto", "text")
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
        cached = make_encoder(encoder, "text", cache=Path(folder) / "cache", threads=1)
        tasks = (_task(name, pool, cached, kept if encoder == "minilm" else None) for name in sets)
        rows = [row for task in tasks for row in _of_task(task, labels, families, cached, Path(folder), seeds)]
    return {"labels": labels, "seeds": seeds, "encoder": encoder, "models": rows}


def _of_task(
    task: Task, labels: int, families: Sequence[str], encoder: Any, folder: Path, seeds: int
) -> list[dict[str, Any]]:
    labels = min(labels, len(task.texts) // 2)
    strong = _taught(task, np.arange(len(task.texts)), 0)
    strong_accuracy = _accuracy(strong.predict_proba(task.test_features), task.test_y)
    runs = [_of_seed(seed, task, labels, strong, families, folder / f"{task.name}-{seed}") for seed in range(seeds)]
    teacher = runs[0].teacher
    timed = task.test_texts[:_TORCH_TEXTS]
    torch_speed, batch = _torch_speed(timed, teacher)
    onnx_speed = per_cpu_second(lambda: teacher.predict_proba(encoder.encode(timed).features), timed)
    about = {"set": task.name, "source": task.source, "pool": len(task.texts), "labels": labels}
    taught = {
        **_mean([run.teacher_figures for run in runs]),
        "retention": 1.0,
        "strong_accuracy": strong_accuracy,
        "strong_retention": 1.0,
    }
    sizes = (_MINILM_BYTES / 1e6, _graph_mb(folder / "cache"))
    names = (f"teacher in torch, batches of {batch}", "teacher in ONNX INT8")
    rows: list[dict[str, Any]] = [
        {**about, "model": model, "mb": mb, **taught, **_speeds(speed, torch_speed, onnx_speed)}
        for model, mb, speed in zip(names, sizes, (torch_speed, onnx_speed), strict=True)
    ]
    for family in families:
        of_family = [run.students[family] for run in runs]
        for found in of_family:
            found["strong_retention"] = found["strong_accuracy"] / strong_accuracy
        served_as, speed = _served(task, folder / f"{task.name}-0" / family)
        rows.append(
            {**about, "model": family, **served_as, **_mean(of_family), **_speeds(speed, torch_speed, onnx_speed)}
        )
    return rows


@dataclass(frozen=True)
class Run:
    """What one seed gave: a teacher, its figures, and those of the students by family."""

    teacher: Any
    teacher_figures: dict[str, float]
    students: dict[str, dict[str, float]]


def _of_seed(seed: int, task: Task, labels: int, strong: Any, families: Sequence[str], folder: Path) -> Run:
    """A teacher of labels drawn anew, and students of it, of the strong one and of the labels alone."""
    from models.evaluate import expected_calibration_error

    labelled = np.sort(np.random.default_rng(seed).permutation(len(task.texts))[:labels])
    teacher = _taught(task, labelled, seed)
    P = teacher.predict_proba(task.test_features)
    accuracy = _accuracy(P, task.test_y)
    students = {}
    for family in families:
        found = _student(family, task, labelled, teacher, folder / family, seed)
        kept = _distil(family, task, np.arange(len(task.texts)), strong, seed)
        students[family] = {
            **found,
            "retention": found["accuracy"] / accuracy,
            "strong_accuracy": _accuracy(kept.student.predict_proba(task.test_texts), task.test_y),
            "labels_only": _labels_only(family, task, labelled, seed),
        }
    figures = {"accuracy": accuracy, "ece": expected_calibration_error(task.test_y, P)}
    return Run(teacher, figures, students)


def _taught(task: Task, rows: IntArray, seed: int) -> Any:
    """The head that the labels of some rows give."""
    from models.teachers import LogisticTeacher

    explored, rng = np.ones(len(rows), bool), np.random.default_rng(seed)
    return LogisticTeacher.fit(
        task.features[rows], task.y[rows], len(task.class_names), explored, rng=rng, pool=task.features
    )


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the seeds, and of those that are shares of a teacher's the spread between them.

    >>> _mean([{"retention": 0.98}, {"retention": 1.0}])
    {'retention': 0.99, 'retention_spread': 0.0141}
    """
    means = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
    if len(found) > 1:
        for name in [name for name in means if name.endswith("retention")]:
            means[f"{name}_spread"] = round(float(np.std([each[name] for each in found], ddof=1)), 4)
    return means


def _task(name: str, pool: int, encoder: Any, kept: Path | None) -> Task:
    texts, labels, source = labelled_texts(1_000_000, name)
    chosen = np.random.default_rng(1).permutation(len(texts))[:pool]
    texts, labels = [texts[i] for i in chosen], [labels[i] for i in chosen]
    test_texts, test_labels, _ = labelled_texts(_TEST, name, "test")
    class_names = tuple(sorted(set(labels) | set(test_labels)))
    index = {each: number for number, each in enumerate(class_names)}
    if kept is not None:
        data = keep_features(name, kept)
        features, test_features = data.X[chosen].astype(np.float32), data.test_features[:_TEST].astype(np.float32)
    else:
        encoder.fit(texts, np.random.default_rng(0))
        features, test_features = (encoder.encode(each).features.astype(np.float32) for each in (texts, test_texts))
    y, test_y = (np.array([index[label] for label in each], np.int64) for each in (labels, test_labels))
    return Task(name, source, class_names, texts, features, y, test_texts, test_features, test_y)


def _distil(family: str, task: Task, labelled: IntArray, teacher: Any, seed: int) -> Any:
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
        rng=np.random.default_rng(seed),
        features=task.features[pool],
        calibration=([task.texts[i] for i in apart], task.y[apart]),
    )


def _labels_only(family: str, task: Task, labelled: IntArray, seed: int) -> float:
    from models.distill import distil

    K = len(task.class_names)
    items = [task.texts[i] for i in labelled]
    rng = np.random.default_rng(seed)
    made = distil(family, [], np.zeros((0, K)), items, task.y[labelled], class_names=task.class_names, rng=rng)
    return _accuracy(made.student.predict_proba(task.test_texts), task.test_y)


def _student(family: str, task: Task, labelled: IntArray, teacher: Any, folder: Path, seed: int) -> dict[str, float]:
    """A student as its bundle answers, and what it took to train; the bundle stays in the folder."""
    from models.artifacts import save_student
    from models.evaluate import expected_calibration_error
    from models.export.bundle import export_bundle
    from models.export.card import CardFacts
    from predictor import load

    began = time.process_time()
    made = _distil(family, task, labelled, teacher, seed)
    trained = time.process_time() - began
    save_student(folder / "student", made.student)
    report = export_bundle(
        folder / "student",
        calibration=task.texts[:500],
        parity_items=task.texts[:5_000],
        card=CardFacts("bench"),
        out=folder / "bundle.zip",
    )
    P = load(_unpacked(report.path, folder / "bundle"), threads=1).predict_proba(task.test_texts)
    return {
        "mb": report.model_bytes / 1e6,
        "accuracy": _accuracy(P, task.test_y),
        "ece": expected_calibration_error(task.test_y, P),
        "agreement_int8": report.parity["agreement"],
        "train_cpu_s": trained,
    }


def _served(task: Task, folder: Path) -> tuple[dict[str, Any], float]:
    """What the bundle in a folder takes to answer, and texts for each second of CPU."""
    from predictor import load

    predictor = load(folder / "bundle", threads=1)
    speed = per_cpu_second(lambda: predictor.predict_proba(task.test_texts), task.test_texts)
    return served(folder / "bundle", task.test_texts), speed


def _speeds(speed: float | None, torch: float | None, onnx: float) -> dict[str, float | None]:
    return {
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
