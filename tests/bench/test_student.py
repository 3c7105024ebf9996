"""Students beside their teacher: each seed draws its own labels, and figures are means over the seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.student import Task, _mean, _of_seed, _taught
from tests.models.small_students import KINDS, texts


@pytest.fixture(scope="module")
def task() -> Task:
    rng = np.random.default_rng(0)
    made, y = texts(240, seed=1)
    X = (np.eye(2, 4)[y] * 3 + rng.normal(size=(240, 4))).astype(np.float32)
    return Task("fruit", "made up", KINDS, made[:200], X[:200], y[:200], made[200:], X[200:], y[200:])


def test_each_seed_has_labels_of_its_own_and_students_of_three_kinds(task: Task, tmp_path: Path) -> None:
    strong = _taught(task, np.arange(200), 0)
    first, second = (_of_seed(seed, task, 40, strong, ("hashed",), tmp_path / str(seed)) for seed in (0, 1))
    assert not np.array_equal(first.teacher.coef, second.teacher.coef)
    figures = first.students["hashed"]
    assert figures["accuracy"] == pytest.approx(figures["retention"] * first.teacher_figures["accuracy"])
    assert min(figures["accuracy"], figures["strong_accuracy"], figures["labels_only"]) > 0.9
    assert (tmp_path / "1" / "hashed" / "bundle" / "predict.py").exists()


def test_shares_of_a_teachers_accuracy_come_with_their_spread_over_the_seeds() -> None:
    found = _mean([{"accuracy": 0.8, "retention": 0.98}, {"accuracy": 0.9, "retention": 1.0}])
    assert found == {"accuracy": pytest.approx(0.85), "retention": 0.99, "retention_spread": 0.0141}
    assert _mean([{"retention": 0.98}]) == {"retention": 0.98}
