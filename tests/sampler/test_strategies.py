"""What each query strategy is for; what all of them keep to is in ``conformance``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sampler.errors import UnknownStrategy
from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conftest import ContextMaker
from winnow.project_settings import STRATEGIES


def test_the_registry_holds_what_projects_may_name() -> None:
    assert set(strategy_names()) == set(STRATEGIES)


def test_an_unknown_strategy_names_those_that_exist() -> None:
    with pytest.raises(UnknownStrategy, match=r"'best'.*clustered_margin"):
        get_strategy("best")


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_the_order_of_the_pool_does_not_matter_to_a_score(make_context: ContextMaker, name: str) -> None:
    context = make_context(n_labeled=0)
    order = np.random.default_rng(1).permutation(120)
    moved = make_context(features=context.features[order], n_labeled=0)
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, order[strategy.rank(moved, 50).rows])


@pytest.mark.parametrize(
    "name",
    [
        "kmeans", "coreset", "typiclust", "clustered_margin", "committee", "auto", "badge", "i_optimal", "herding",
        "uncertainty_herding", "probcover", "dropquery", "ranked_batch",
    ],
)  # fmt: skip
def test_a_batch_of_a_diverse_strategy_holds_no_duplicates_where_there_is_a_choice(
    make_context: ContextMaker, name: str
) -> None:
    groups = np.arange(120) % 8
    features = (np.eye(8)[groups] * 4.0).astype(np.float32)
    context = make_context(features=features, probabilities=np.full((119, 3), 1 / 3), n_labeled=1)
    ranking = get_strategy(name).rank(context, 5)
    assert len(set(groups[ranking.rows].tolist())) == 5


def test_margin_ranks_the_smallest_gap_first_and_says_how_small(make_context: ContextMaker) -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.41, 0.39, 0.2], [0.5, 0.25, 0.25]])
    context = make_context(candidates=np.array([20, 30, 40]), probabilities=probabilities)
    ranking = get_strategy("margin").rank(context, 3)
    assert ranking.rows.tolist() == [30, 40, 20]
    np.testing.assert_allclose(ranking.scores, [0.98, 0.75, 0.5])
    assert ranking.reasons == ["two classes within 2 %", "two classes within 25 %", "two classes within 50 %"]
    named = get_strategy("margin").rank(replace(context, class_names=("ham", "spam", "other")), 1)
    assert named.reasons == ["ham or spam: within 2 %"]


def test_entropy_prefers_doubt_over_all_classes_and_margin_doubt_between_two(make_context: ContextMaker) -> None:
    probabilities = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]])
    context = make_context(candidates=np.array([20, 30]), probabilities=probabilities)
    assert get_strategy("margin").rank(context, 1).rows.tolist() == [20]
    assert get_strategy("entropy").rank(context, 1).rows.tolist() == [30]
    assert get_strategy("least_confidence").rank(context, 1).rows.tolist() == [30]


def test_a_handed_in_committee_is_asked_instead_of_a_new_one(make_context: ContextMaker) -> None:
    members = np.zeros((5, 2, 3))
    members[:, 0, 0] = 1.0
    members[[0, 1, 2, 3, 4], 1, [0, 1, 2, 0, 1]] = 1.0
    context = make_context(candidates=np.array([20, 30]), committee=members, probabilities=None)
    ranking = get_strategy("committee").rank(context, 2)
    assert ranking.rows.tolist() == [30, 20]
    assert ranking.reasons == ["3 of 5 models disagree with the rest", "all 5 models agree"]


def test_core_set_goes_where_neither_labels_nor_pending_items_are(make_context: ContextMaker) -> None:
    corners = np.array([[0, 0], [0, 10], [10, 0], [10, 10]])
    features = np.repeat(corners, 10, axis=0) + np.random.default_rng(0).normal(scale=0.1, size=(40, 2))
    context = make_context(
        features=features.astype(np.float32), labeled=np.array([0]), y=np.array([0]), pending=np.array([10]),
        probabilities=None,
    )  # fmt: skip
    ranking = get_strategy("coreset").rank(context, 2)
    assert {int(row) // 10 for row in ranking.rows} == {2, 3}
    assert ranking.reasons[0] == "nothing like it labelled yet"


def test_typiclust_takes_the_large_uncovered_groups_first(make_context: ContextMaker) -> None:
    sizes = [40, 25, 15, 10]
    groups = np.repeat(np.arange(4), sizes)
    features = np.eye(4)[groups] * 10.0 + np.random.default_rng(0).normal(scale=0.05, size=(90, 4))
    context = make_context(
        features=features.astype(np.float32), labeled=np.array([0]), y=np.array([0]), probabilities=None, batch_size=3
    )
    ranking = get_strategy("typiclust").rank(context, 3)
    assert groups[ranking.rows].tolist() == [1, 2, 3]
    assert set(ranking.reasons) == {"typical of a group that nothing labelled covers yet"}


def test_clustered_margin_spreads_what_margin_would_take_from_one_place(make_context: ContextMaker) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5), 20)
    features = (np.eye(5)[groups] * 5.0 + rng.normal(scale=0.05, size=(100, 5))).astype(np.float32)
    gap = np.where(groups == 0, 0.01, 0.05)[:, None] + rng.random((100, 1)) * 0.005
    probabilities = np.hstack([0.5 + gap / 2, 0.5 - gap / 2, np.zeros((100, 1))])
    context = make_context(features=features, labeled=np.empty(0, np.int64), probabilities=probabilities, batch_size=5)
    assert set(groups[get_strategy("margin").rank(context, 5).rows].tolist()) == {0}
    assert set(groups[get_strategy("clustered_margin").rank(context, 5).rows].tolist()) == {0, 1, 2, 3, 4}


def test_clustered_margin_leaves_what_is_pending_elsewhere_for_later(make_context: ContextMaker) -> None:
    groups = np.repeat(np.arange(5), 20)
    features = (np.eye(5)[groups] * 5.0 + np.random.default_rng(0).normal(scale=0.05, size=(100, 5))).astype(np.float32)
    pending = np.array([20, 21, 22, 40])
    candidates = np.setdiff1d(np.arange(100), pending)
    context = make_context(
        features=features, labeled=np.empty(0, np.int64), candidates=candidates, pending=pending, batch_size=3,
        probabilities=np.full((96, 3), 1 / 3),
    )  # fmt: skip
    assert set(groups[get_strategy("clustered_margin").rank(context, 3).rows].tolist()) == {0, 3, 4}


@pytest.mark.parametrize(
    ("n_labeled", "n_classes", "same_as"),
    [
        (12, 3, "herding"), (20, 3, "uncertainty_herding"), (90, 3, "uncertainty_herding"),
        (30, 25, "typiclust"), (50, 25, "uncertainty_herding"),
    ],
)  # fmt: skip
def test_auto_covers_the_pool_and_goes_over_to_what_the_model_doubts(
    make_context: ContextMaker, n_labeled: int, n_classes: int, same_as: str
) -> None:
    auto = get_strategy("auto").rank(make_context(n=300, n_labeled=n_labeled, n_classes=n_classes), 20)
    other = get_strategy(same_as).rank(make_context(n=300, n_labeled=n_labeled, n_classes=n_classes), 20)
    np.testing.assert_array_equal(auto.rows, other.rows)


def test_scaling_decides_which_columns_count(make_context: ContextMaker) -> None:
    features = np.array([[0, 0], [1000, 0], [0, 1]], np.float32)
    context = make_context(features=features, labeled=np.array([0]), y=np.array([0]), probabilities=None)
    assert get_strategy("coreset").rank(context, 1).rows.tolist() == [1]
    scaled = replace(context, scaling=(np.zeros(2), np.array([10_000.0, 1.0])), rng=np.random.default_rng(0))
    assert get_strategy("coreset").rank(scaled, 1).rows.tolist() == [2]
