"""What is said of a round's choices."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.peers import peer_names
from sampler.strategies import strategy_names
from sampler.unseen_share import UnseenShare
from worker.choices import explained, ranking_choice, unseen_choice, view_choice

VIEWS = ("raw", "diffused")
FEW = np.array([0, 1] * 6)


def test_the_view_of_the_smaller_loss_says_both_losses() -> None:
    assert view_choice("diffused", {"raw": 0.52219, "diffused": 0.3121}, 60, VIEWS) == {
        "teacher_view": "diffused",
        "view_losses": {"raw": 0.5222, "diffused": 0.3121},
        "view_chosen_at": 60,
        "view_why": "cross-validated log-loss over 60 labels is 0.312 so and 0.522 by itself (less is better)",
    }


def test_a_view_is_set_beside_all_others() -> None:
    losses = {"raw": 0.4, "blended": 0.3, "diffused": 0.35}
    assert view_choice("blended", losses, 60, tuple(losses))["view_why"] == (
        "cross-validated log-loss over 60 labels is 0.300 so and 0.400 by itself, 0.350 with its nearest neighbours "
        "(less is better)"
    )


@pytest.mark.parametrize(
    ("losses", "views", "why"),
    [
        ({}, VIEWS, "8 labels are too few to compare"),
        (
            {"raw": 0.5},
            ("raw",),
            "there is no graph of neighbours: the pool is too small or too large, or was just encoded anew",
        ),
    ],
)
def test_a_view_that_was_not_compared_says_why(losses: dict[str, float], views: tuple[str, ...], why: str) -> None:
    assert view_choice(views[-1], losses, 8, views)["view_why"] == why


def test_a_round_is_explained_in_words() -> None:
    metrics = {
        "ranking": ranking_choice("auto", "auto", FEW, 2, has_model=True),
        **view_choice("raw", {"raw": 0.4, "diffused": 0.6}, 12, VIEWS),
    }
    assert explained(metrics) == (
        "Next come items that cover the pool, each typical of its cluster: 12 labels of 20 are too few to trust what "
        "the model doubts. The teacher saw each item by itself: cross-validated log-loss over 12 labels is 0.400 so "
        "and 0.600 with its nearest neighbours (less is better)."
    )


def test_that_the_model_knows_nothing_yet_is_said() -> None:
    many = np.array([0, 1] * 20)
    metrics = {
        "ranking": ranking_choice("auto", "auto", many, 2, has_model=True, by_chance=True),
        **view_choice("raw", {"raw": 0.7}, 40, ("raw",)),
    }
    assert metrics["ranking"]["phase"] == "by_chance"
    assert explained(metrics).startswith(
        "Next come items drawn at random: the model predicts labels that it has not seen no better than how often each "
        "class occurs."
    )


@pytest.mark.parametrize(
    ("names", "share", "said"),
    [
        ([], UnseenShare(0.0, 0.0, 0.0, 40), ""),
        (["cat"], None, " 'cat' has no label yet."),
        (
            ["cat", "dog"],
            UnseenShare(0.05, 0.0062, 0.169, 40),
            " 2 classes have no label yet: an estimated 5 % of the pool (95 % interval <1 % to 17 %, from 40 labels "
            "drawn at random).",
        ),
        (
            ["cat"],
            UnseenShare(0.0, 0.0, 0.975, 1),
            " 'cat' has no label yet: hardly any of the pool (95 % interval <1 % to 98 %, from 1 label drawn at "
            "random).",
        ),
    ],
)
def test_classes_without_labels_are_explained_with_their_share(
    names: list[str], share: UnseenShare | None, said: str
) -> None:
    plain = {
        "ranking": ranking_choice("auto", "auto", FEW, 2, has_model=True),
        **view_choice("raw", {}, 12, VIEWS),
    }
    assert explained(plain | unseen_choice(names, share)) == explained(plain) + said


@pytest.mark.parametrize("name", [*strategy_names(), *peer_names()])
def test_every_strategy_can_be_explained(name: str) -> None:
    metrics = {"ranking": ranking_choice(name, name, FEW, 2, has_model=True), **view_choice("raw", {}, 12, VIEWS)}
    said = explained(metrics)
    assert said.startswith("Next come ")
    assert name in said or name in {"auto", "random", "herding", "typiclust", "uncertainty_herding"}
