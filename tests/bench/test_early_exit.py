"""Thresholds of early exits, and what ways to spare layers cost."""

from pathlib import Path

import numpy as np
import pytest

from bench import early_exit
from bench.early_exit import choose_threshold, exits
from bench.transformer_cells import Cell, Texts
from models.students.student import Student
from tests.models.small_students import KINDS, text_student, texts
from tests.models.tiny_trunks import DIM, transformer_student


def test_a_threshold_that_nothing_reaches_passes_everything_on():
    first = np.array([[0.9, 0.1], [0.6, 0.4]], np.float32)
    assert choose_threshold(first, first[:, ::-1], 0.9) == 1.1


def test_texts_that_the_first_is_sure_of_cost_its_layer_and_others_all(monkeypatch):
    items, y = texts(120, seed=3)
    set_ = Texts("fruit", 20, Path("nowhere"))
    made = {"pool": items, "test": items[:40], "y": (y, y[:40]), "class_names": KINDS}
    made |= {"labelled": np.arange(20), "features": np.eye(2, DIM, dtype=np.float32)[y]}
    for name, value in made.items():
        set_.__dict__[name] = value
    monkeypatch.setattr(Texts, "taught", lambda self, features: np.asarray(features[:, :2]))
    students: dict[str, Student] = {
        "static": text_student(),
        **{name: transformer_student(name) for name in ("transformer-1", "transformer-2")},
    }
    monkeypatch.setattr(early_exit, "trained", lambda cell, _: (students[cell.family], {}))
    found = exits(set_, [Cell("fruit", family, 20, 100) for family in students])
    assert (found["student"], found["accuracy"]) == ("transformer-2", 1.0)
    assert [row["first"] for row in found["ways"]] == ["exit"] * 3 + ["one layer"] * 3 + ["static"] * 3
    for row in found["ways"]:
        passed = row["passed_on"]
        assert row["layers"] == pytest.approx(2 * passed if row["first"] == "static" else 1 + passed)
        assert row["accuracy"] >= 0.95
    assert found["ways"][-1]["passed_on"] < 0.5
