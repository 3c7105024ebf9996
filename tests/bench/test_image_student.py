"""The student of images is measured as it is handed out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import image_student
from bench.real_features import RealSet
from tests.models.small_students import images


def test_a_seed_tells_what_teacher_and_student_are_right_about_and_what_the_student_weighs() -> None:
    files, y = images(160)
    test, test_y = images(60, seed=1)
    told = [np.eye(3, 5, dtype=np.float32)[labels] for labels in (y, test_y)]  # features that give the class away
    row = image_student.one_seed(RealSet(told[0], y, told[1], test_y), files, test, labels=40, seed=0)
    assert row["teacher"] == 1.0
    assert row["student"] > 0.8
    assert row["retention"] == row["student"] / row["teacher"]
    assert 0 < row["kb"] < 50
    assert row["agreement_int8"] >= 0.99
    assert min(row["images_per_cpu_s"], row["graph_images_per_cpu_s"], row["train_cpu_s"]) > 0


def test_without_the_data_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_BENCH_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no folder with mnist10k"):
        image_student.measure(tmp_path)
