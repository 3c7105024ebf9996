"""The tables of distillation: means and paired gains by set; each arm trains on what its ground lets it see."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import distillation, distillation_arms
from bench.distillation_report import as_page, gain_text


def cell(arm: str, seed: int, accuracy: float) -> dict[str, Any]:
    rest = {"agreement": 0.9, "log_loss": 0.5, "brier": 0.2, "ece": 0.03, "cpu_s": 1.0}
    return {"set": "agnews", "arm": arm, "seed": seed, "accuracy": accuracy, **rest}


def test_gains_are_paired_by_seed() -> None:
    cells = [
        cell("as it is", 0, 0.80),
        cell("as it is", 1, 0.90),
        cell("hard first", 0, 0.81),
        cell("hard first", 1, 0.91),
    ]
    page = as_page([*cells, cell("hard first", 2, 0.5)], ["as it is", "hard first", "never run"])
    assert "| as it is | 0.8500 |  | 0.900 | 0.500 | 0.200 | 0.030 | 1.0 |" in page
    assert "| hard first | 0.7400 | +1.00 ± 0.00 |" in page
    assert "3 seeds" in page
    assert "never run" not in page


def test_one_seed_has_no_interval_and_four_have_students() -> None:
    assert gain_text([0.5]) == "+0.50"
    assert gain_text([1.0, 2.0, 3.0, 4.0]) == f"+2.50 ± {3.18 * np.std([1, 2, 3, 4], ddof=1) / 2:.2f}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    words = {"fruit": "apple pear plum fig", "tool": "saw drill file nail"}
    for part, n in (("train", 120), ("test", 40)):
        y = np.arange(n) % 2
        names = [list(words)[label] for label in y]
        rows = [{"text": " ".join(rng.choice(words[name].split(), 3)), "label": name} for name in names]
        (tmp_path / f"agnews.{part}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        X = (np.eye(2, 4)[y] * 2 + rng.normal(size=(n, 4))).astype(np.float32)
        for kept in ("agnews", "agnews-hashed"):
            np.savez(tmp_path / f"{kept}.{part}.npz", X=X, y=y)
    monkeypatch.setenv("WINNOW_BENCH_DATA", str(tmp_path))
    monkeypatch.setitem(distillation.LABELS, "agnews", 40)
    distillation._set.cache_clear()
    return tmp_path


def test_cells_are_run_once_and_what_is_there_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ["teacher", "as it is"]
    command = [
        "distillation",
        "--kept",
        str(folder),
        "--out",
        str(folder / "cells"),
        "--sets",
        "agnews",
        "--seeds",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--arms", *arms])
    distillation.main()
    page = capsys.readouterr().out
    assert [line.split(" | ")[0].strip("| ") for line in page.splitlines() if line.startswith("| ")][1:] == arms
    assert "| as it is | 1.0000 |" in page
    run_cell = distillation.run_cell
    monkeypatch.setattr(distillation, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    distillation.main()
    assert capsys.readouterr().out == page
    monkeypatch.setattr(sys, "argv", [*command, "--arms", "as it is", "--family", "hashed"])
    monkeypatch.setattr(distillation, "run_cell", lambda *cell: run_cell(*cell) | {"agreement": 0.123})
    distillation.main()
    assert "| 0.123 |" in capsys.readouterr().out  # another family's cells are others


@pytest.mark.parametrize("family", ["static", "hashed"])
def test_arms_train_the_family_that_was_asked_for(folder: Path, family: str) -> None:
    out = folder / "cells"
    out.mkdir()
    ground = distillation._ground("agnews", 0, folder, out, family)
    trained = [distillation_arms.ARMS[arm](ground) for arm in ("half the epochs", "labels only", "second generation")]
    assert [student.network.family for student in trained] == [family] * 3


def test_what_calibrates_is_neither_learned_from_nor_in_the_pool(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "cells"
    out.mkdir()
    ground = distillation._ground("agnews", 0, folder, out)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        distillation_arms.Ground, "train", lambda self, **options: seen.update(options, labeled=self.labeled)
    )
    distillation_arms._calibrated(ground, 10)
    assert len(seen["calibration"][1]) == 10
    assert len(seen["labeled"]) == 30
    assert set(seen["labeled"]) <= set(seen["rows"])
    assert len(seen["rows"]) == 110


def test_four_warm_rounds_follow_a_cold_one_each_with_more_labels(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "cells"
    out.mkdir()
    ground = distillation._ground("agnews", 0, folder, out)
    rounds: list[tuple[int, int, bool]] = []

    class Student:
        def predict_proba(self, texts: list[str]) -> np.ndarray:
            return np.tile([1.0, 0.0], (len(texts), 1))

        def arrays(self) -> dict[str, Any]:
            return {}

    class Made:
        student = Student()

    def distil(family: str, items: list[str], soft: np.ndarray, labeled: list[str], y: Any, **options: Any) -> Made:
        rounds.append((len(items), len(labeled), options["previous"] is not None))
        assert options["previous"] is None or (soft[:, 0] >= 0.3).all()  # the last version counts 0.3
        return Made()

    monkeypatch.setattr("models.distill.distil", distil)
    monkeypatch.setattr(distillation_arms, "_WARM_ROWS", 50)
    distillation_arms._continual(ground, 0.3)
    assert rounds == [(120, 24, False), (50, 28, True), (50, 32, True), (50, 36, True), (50, 40, True)]
