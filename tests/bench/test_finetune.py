"""The table of fine-tuning: what a method has by itself, and with the say that the head is given."""

from __future__ import annotations

import numpy as np
import pytest

from bench.finetune import Sample, mean_of, measure
from models import blend
from models.blend import Share

WORDS = (("apple", "pear", "plum", "fig"), ("saw", "drill", "file", "nail"), ("harbour", "street", "bridge", "square"))


def sample(n: int) -> Sample:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    texts = [f"the {rng.choice(WORDS[c])} beside the {rng.choice(WORDS[c])}, number {rng.integers(90)}" for c in y]
    y = np.where(rng.random(n) < 0.2, (y + 1) % 3, y)
    return Sample(texts[:80], y[:80], texts[80:], y[80:], 3, "made")


def test_a_method_is_measured_alone_and_with_the_head_as_a_round_would_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = measure("frozen", sample(140), {})
    alone, beside = (0.0, 1.0)
    found = {}
    for share in (alone, beside):
        monkeypatch.setattr(
            blend, "choose_share", lambda y, head, own, share=share: Share(share, 0.1, 0.1, 0.1, tested=len(y))
        )
        found[share] = measure("bias", sample(140), {"epochs": 1, "max_tokens": 16})
    made = found[beside]
    assert list(frozen) == list(made)
    assert frozen["share"] is frozen["with_head_accuracy"] is None
    assert made["method"] == "bias"
    assert 0.6 < made["accuracy"] < 0.9, "a fifth of the labels is wrong"
    assert made["best_epoch"] in ("0 of 1", "1 of 1")
    assert len(made["held_out_losses"].split()) == 2
    assert (made["share"], made["with_head_log_loss"]) == (1.0, pytest.approx(made["log_loss"]))
    assert (found[alone]["share"], found[alone]["log_loss"]) == (0.0, pytest.approx(made["log_loss"]))
    assert found[alone]["with_head_log_loss"] == pytest.approx(frozen["log_loss"])
    assert found[alone]["with_head_accuracy"] == frozen["accuracy"]
    assert abs(frozen["log_loss"] - made["log_loss"]) > 1e-3


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
