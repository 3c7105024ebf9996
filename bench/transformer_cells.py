"""Transformer students on real sets, trained once and kept: what `bench.transformer_student` measures."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import keep_features
from bench.texts import labelled_texts

if TYPE_CHECKING:
    from models.students.student import Student

ENCODER = "minilm"
#: What a student is drawn to beside the soft labels.
MATCHES = ("none", "features", "layers")
_LAYER_STATES = {1: (6,), 2: (3, 6), 3: (2, 4, 6)}
_TEACHER_BATCH = 32


@dataclass(frozen=True)
class Cell:
    """One training: a family on a set; the seed draws the texts of the soft labels, and all that is random in it."""

    name: str
    family: str
    labels: int
    transfer: int
    epochs: int | None = None
    match: str = "features"
    seed: int = 0

    @property
    def title(self) -> str:
        """The name of what is kept."""
        epochs = "" if self.epochs is None else f"-{self.epochs}epochs"
        seed = f"-seed{self.seed}" if self.seed else ""
        return f"{self.name}-{self.labels}-{self.family}-{self.transfer}-{self.match}{epochs}{seed}"


@dataclass(frozen=True)
class Texts:
    """A set with its features, and a teacher of some labels: logistic regression on them."""

    name: str
    labels: int
    folder: Path

    @cached_property
    def pool(self) -> list[str]:
        """The pool's texts."""
        return labelled_texts(1_000_000, self.name)[0]

    @cached_property
    def test(self) -> list[str]:
        """The test set's."""
        return labelled_texts(1_000_000, self.name, "test")[0]

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """The encoder's rows of the pool, (n, d)."""
        return np.asarray(keep_features(self.name, self.folder).X, np.float32)

    @cached_property
    def y(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Class indices of pool and test set."""
        data = keep_features(self.name, self.folder)
        return data.y, data.test_y

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of the classes, by their index."""
        return tuple(sorted(set(labelled_texts(1_000_000, self.name)[1])))

    @cached_property
    def labelled(self) -> NDArray[np.int64]:
        """Rows of the pool with labels."""
        return np.sort(np.random.default_rng(0).permutation(len(self.pool))[: self.labels])

    @cached_property
    def teacher(self) -> dict[str, NDArray[Any]]:
        """The teacher's arrays."""
        from models.teachers import LogisticTeacher

        path = self.folder / f"{self.name}-{self.labels}-teacher.npz"
        if not path.exists():
            y = self.y[0][self.labelled]
            uniform = np.ones(len(y), bool)
            rng = np.random.default_rng(0)
            X = self.features
            fitted = LogisticTeacher.fit(X[self.labelled], y, len(self.class_names), uniform, rng=rng, pool=X)
            np.savez(path, allow_pickle=False, **fitted.arrays())
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def taught(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The teacher's probabilities, (n, C)."""
        from models.teachers import LogisticTeacher

        return LogisticTeacher.from_arrays(self.teacher).predict_proba(features)

    @cached_property
    def teacher_accuracy(self) -> float:
        """On the test set, by the same INT8 encoder."""
        found = self.taught(np.asarray(keep_features(self.name, self.folder).test_features, np.float32))
        return float((found.argmax(1) == self.y[1]).mean())


def trained(cell: Cell, texts: Texts) -> tuple[Student, dict[str, Any]]:
    """The student of a cell and what its training took: trained now, or read where it was kept."""
    from models.artifacts import load_student, save_student

    folder = texts.folder / cell.title
    if not (folder / "cell.json").exists():
        student, facts = _train(cell, texts)
        save_student(folder, student)
        facts["fp32_accuracy"] = float((student.predict_proba(texts.test).argmax(1) == texts.y[1]).mean())
        (folder / "cell.json").write_text(json.dumps(facts), "utf-8")
    return load_student(folder), json.loads((folder / "cell.json").read_text("utf-8"))


def _train(cell: Cell, texts: Texts) -> tuple[Student, dict[str, Any]]:
    from models.distill import distil
    from models.trunks import load_trunk

    everyone = np.random.default_rng(1 + cell.seed).permutation(len(texts.pool))
    rows = np.sort(everyone[: cell.transfer])
    items = [texts.pool[row] for row in rows]
    features = None
    if cell.match == "features":
        features = texts.features[rows]
    elif cell.match == "layers":
        features = _layer_features(items, int(cell.family[-1]))
    soft = texts.taught(texts.features[rows])
    began, cpu = time.perf_counter(), time.process_time()
    distilled = distil(
        cell.family,
        items,
        soft,
        [texts.pool[row] for row in texts.labelled],
        texts.y[0][texts.labelled],
        class_names=texts.class_names,
        rng=np.random.default_rng(cell.seed),
        epochs=cell.epochs,
        features=features,
        trunk=load_trunk(ENCODER) if cell.family.startswith("transformer") else None,
    )
    facts = {"train_cpu_seconds": time.process_time() - cpu, "train_seconds": time.perf_counter() - began}
    return distilled.student, {**facts, **distilled.report.to_dict()}


def _layer_features(items: list[str], layers: int) -> NDArray[np.float32]:
    """The teacher's means over the pieces after as many of its layers, evenly spaced: (n, layers, d)."""
    from bench.encode import TorchMiniLM

    network = TorchMiniLM()
    found = np.empty((len(items), layers, 384), np.float32)
    order = sorted(range(len(items)), key=lambda n: len(items[n]))
    for start in range(0, len(order), _TEACHER_BATCH):
        batch = order[start : start + _TEACHER_BATCH]
        found[batch] = network.layer_means([items[n] for n in batch], _LAYER_STATES[layers]).swapaxes(0, 1)
    return found
