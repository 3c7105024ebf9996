"""Cold students in the background: the rounds they are tried after, and what is counted of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import cold_students
from bench.cold_students import Chain, measure
from bench.real_features import RealSet

WORDS = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "drill", "file", "nail"]}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealSet:
    """A set of two classes whose features tell them apart but for noise."""
    rng = np.random.default_rng(0)
    parts = []
    for part, n in (("train", 200), ("test", 50)):
        y = rng.integers(2, size=n)
        texts = [" ".join([*rng.choice(WORDS[list(WORDS)[c]], 2), "of", f"n{rng.integers(40)}"]) for c in y]
        rows = [{"text": text, "label": list(WORDS)[c]} for text, c in zip(texts, y, strict=True)]
        (tmp_path / f"agnews.{part}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        parts += [(rng.normal(size=(n, 8)) + 2 * y[:, None]).astype(np.float32), y]
    monkeypatch.setenv("WINNOW_BENCH_DATA", str(tmp_path))
    return RealSet(*parts)


def test_both_chains_see_the_same_labels_and_what_was_tried_is_counted(
    kept: RealSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains: dict[bool, Chain] = {}
    run = cold_students.run_chain

    def watched(*arguments: object, background: bool) -> Chain:
        chains[background] = run(*arguments, background=background)  # type: ignore[arg-type]
        return chains[background]

    parted = cold_students.parted

    def lagging(metrics: dict[str, Any], carry: dict[str, Any], tried_at: int) -> str | None:
        return parted({**metrics, "agreement": 0.5, "agreement_rows": 100}, {**carry, "cold_agreement": 0.9}, tried_at)

    monkeypatch.setattr(cold_students, "parted", lagging)
    monkeypatch.setattr(cold_students, "run_chain", watched)
    monkeypatch.setattr(cold_students, "HELD", 30)
    monkeypatch.setattr(cold_students, "STEP", 0.1)
    found = measure("agnews", kept, 1, (40, 60))
    assert found["rounds"] == len(chains[False].accuracies) == len(chains[True].accuracies) == 5  # 40, 44, 48, 52, 57
    assert chains[False].tried == []
    assert chains[False].cold_cpu == 0
    assert 1 <= found["tried"] == len(chains[True].tried) <= 2, "after 44 labels, and not again before 51"
    assert found["taken"] == sum(taken for taken, _ in chains[True].tried)
    assert found["accuracy_without"] == pytest.approx(np.mean(chains[False].accuracies))
    assert found["gain"] == pytest.approx(found["accuracy_with"] - found["accuracy_without"])
    assert found["background_cpu_seconds"] > 0
    assert found["gain_error"] is None
    assert min(chains[True].accuracies) > 0.5
