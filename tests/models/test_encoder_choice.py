"""The encoder whose rows tell classes apart best, and what it takes to leave the present one."""

from __future__ import annotations

import numpy as np
import pytest

from models import encoder_choice
from models.encoder_choice import FIRST_MARGIN, LATER_MARGIN, EncoderChoice, choose_encoder

Y = np.arange(120) % 3


def rows(signal: float, dim: int = 12, seed: int = 0) -> np.ndarray:
    """Rows of length 1 in which the class stands out from noise by so much."""
    made = np.random.default_rng(seed).normal(size=(len(Y), dim)) / np.sqrt(dim)
    made[np.arange(len(Y)), Y] += signal
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def choose(present: float, other: float, margin: float = FIRST_MARGIN, dim: int = 12) -> EncoderChoice:
    return choose_encoder(
        {"old": rows(present), "new": rows(other, dim, seed=1)},
        Y,
        np.zeros(len(Y), bool),
        present="old",
        margin=margin,
        labels=150,
        rng=np.random.default_rng(0),
    )


def test_another_encoder_is_taken_where_it_is_clearly_better() -> None:
    choice = choose(0.2, 2.0, dim=20)
    assert choice.encoder == "new"
    assert choice.losses["new"] < 0.2 < choice.losses["old"]
    assert (choice.tested, choice.labels) == (120, 150)
    assert choice.why == (
        f"cross-validated log-loss over 120 labels is {choice.losses['new']:.3f} with it and "
        f"{choice.losses['old']:.3f} with old (less is better)"
    )
    assert choice.to_dict()["encoder"] == "new"


def test_the_present_one_stays_where_it_is_the_better_one() -> None:
    assert choose(2.0, 0.2).encoder == "old"


@pytest.mark.parametrize(
    ("gain", "first", "later"),
    [
        ([0.3, 0.1, 0.3, 0.1], "new", "new"),  # 0.2, with a standard error of 0.06
        ([0.5, -0.1, 0.5, -0.1], "new", "old"),  # 0.2, of 0.17
        ([0.7, -0.3, 0.7, -0.3], "old", "old"),  # 0.2, of 0.29
        ([0.01, 0.01, 0.01, 0.01], "old", "old"),  # sure, and not worth it
        ([-0.3, -0.1, -0.3, -0.1], "old", "old"),
    ],
)
def test_the_second_time_it_takes_more_than_the_first(
    monkeypatch: pytest.MonkeyPatch, gain: list[float], first: str, later: str
) -> None:
    for margin, taken in ((FIRST_MARGIN, first), (LATER_MARGIN, later)):
        found = iter((np.ones(4), 1 - np.array(gain)))
        monkeypatch.setattr(encoder_choice, "tested_losses", lambda *_, found=found: next(found))
        choice = choose(1.0, 1.0, margin)
        assert choice.encoder == taken
        assert choice.why.endswith("which is not clearly better") is (taken == "old" and sum(gain) > 0)


def test_two_that_are_alike_leave_things_as_they_are() -> None:
    same = {"old": rows(1.0), "new": rows(1.0)}
    explored = np.arange(len(Y)) < 40
    choice = choose_encoder(same, Y, explored, present="old", margin=0.0, labels=120, rng=np.random.default_rng(0))
    assert (choice.encoder, choice.tested) == ("old", 40)  # enough were drawn uniformly: only they are tested on
