"""A cold and a warm round by step, on real texts and on such as are made of their halves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench import round as bench_round
from bench.texts import recombined


def test_a_pool_grows_by_halves_of_two_texts_of_a_class() -> None:
    texts, labels = ["a b c d", "e f g h", "u v w x"], ["one", "one", "two"]
    made, classes = recombined(texts, labels, 40)
    assert (made[:3], classes[:3]) == (texts, labels)
    assert len(made) == len(classes) == 40
    own = {"one": {"a b c g h", "e f g c d", "a b c c d", "e f g g h"}, "two": {"u v w w x"}}
    assert all(text in own[label] for text, label in zip(made[3:], classes[3:], strict=True))
    assert set(Counter(classes)) == {"one", "two"}
    assert recombined(texts, labels, 2) == (texts[:2], labels[:2])


def test_each_step_of_both_rounds_costs_something_and_the_pool_is_as_large_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    words = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "drill", "file", "nail"]}
    rows = [
        {"text": " ".join([*rng.choice(words[name], 2), "the", "of"]), "label": name}
        for name in rng.choice(list(words), 150)
    ]
    (tmp_path / "agnews.train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    monkeypatch.setenv("WINNOW_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(bench_round, "_LOADED_ON", 40)
    result = bench_round.measure(200, 40)
    assert (result["rows"], result["classes"]) == (200, 2)
    assert result["source"] == "agnews.train, 150 as they are and the rest of the halves of two"
    assert [(row["round"], row["labels"]) for row in result["rounds"]] == [("cold", 40), ("warm", 90)]
    steps = {row["step"]: row for row in result["steps"]}
    assert list(steps) == ["settle", "teacher", "student", "promote", "measure", "rank", "store", "export"]
    for name, whole in zip(("cold", "warm"), result["rounds"], strict=True):
        parts = [steps[step][f"{name}_cpu_s"] for step in bench_round._STEPS]
        assert min(parts) > 0
        assert sum(parts) <= whole["cpu_seconds"]
    assert steps["store"]["cold_s"] is None
    assert steps["export"]["warm_cpu_s"] > 0
