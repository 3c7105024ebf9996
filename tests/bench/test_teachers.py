"""What the table of teachers is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.teachers import FOREST, bench_of, run, table, zero_shot


def test_each_member_the_choice_and_the_average_are_scored_on_the_test_rows(tmp_path: Path) -> None:
    bench = bench_of("wine", tmp_path)
    assert zero_shot(bench) is None
    forest = {**FOREST, "params": {"n_estimators": 10}}
    runs = [run(bench, 40, seed, forest) for seed in (0, 1)]
    for one in runs:
        assert set(one["scores"]) == {"logistic", "sklearn:forest", "stacked", "auto"}
        assert one["scores"]["auto"] == one["scores"][one["kind"]]
        assert all(accuracy > 0.8 for accuracy, _ in one["scores"].values())
        assert one["choice_s"] > 0
    lines = table(runs).splitlines()
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    means = np.mean([one["scores"]["logistic"] for one in runs], axis=0)
    assert cells[:2] == ["40", f"{means[0]:.3f} / {means[1]:.2f}"]
