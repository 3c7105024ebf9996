"""The table of fine-tuning: what a method has by itself, and with the say that the head is given."""

from __future__ import annotations

import numpy as np
import pytest

from bench.finetune import Sample, mean_of, measure

WORDS = (("apple", "pear", "plum", "fig"), ("saw", "drill", "file", "nail"), ("harbour", "street", "bridge", "square"))


def sample(n: int) -> Sample:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    texts = [f"the {rng.choice(WORDS[c])} beside the {rng.choice(WORDS[c])}, number {rng.integers(90)}" for c in y]
    return Sample(texts[:80], y[:80], texts[80:], y[80:], 3, "made")


def test_a_method_is_measured_alone_and_with_the_head_as_a_round_would_use_it() -> None:
    given = {"epochs": 1, "max_tokens": 16}
    made = measure("bias", sample(140), given)
    assert made["method"] == "bias"
    assert made["accuracy"] > 0.9
    assert made["with_head_accuracy"] > 0.9
    assert made["share"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert made["best_epoch"] in ("0 of 1", "1 of 1")
    assert len(made["held_out_losses"].split()) == 2
    frozen = measure("frozen", sample(140), given)
    assert list(frozen) == list(made)
    assert frozen["share"] is frozen["with_head_accuracy"] is None
    if made["share"] == 0:
        assert made["with_head_log_loss"] == pytest.approx(frozen["log_loss"], rel=0.05)
    assert made["log_loss"] != made["with_head_log_loss"] or made["share"] == 1


def test_seeds_are_averaged_and_each_accuracy_is_told() -> None:
    rows = [
        {"method": "full", "accuracy": a, "share": s, "with_head_accuracy": a, "best_epoch": b}
        for a, s, b in ((0.5, 0.0, "0 of 3"), (0.75, 0.5, "3 of 6"))
    ]
    assert mean_of(rows) == {
        "method": "full",
        "accuracy": 0.625,
        "by_seed": "0.500 0.750",
        "share": 0.25,
        "with_head_accuracy": 0.625,
        "with_head_by_seed": "0.500 0.750",
        "best_epoch": "0 of 3, 3 of 6",
    }
    frozen = {"method": "frozen", "accuracy": 0.5, "share": None, "with_head_accuracy": None}
    assert mean_of([frozen, frozen])["with_head_accuracy"] is None
