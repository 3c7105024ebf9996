"""What every query strategy must keep to, whatever it ranks by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sampler.errors import InvalidInput, MissingInput, UnknownStrategy
from sampler.query import QueryContext
from sampler.strategies import get_strategy, strategy_names

ContextMaker = Callable[..., QueryContext]
NAMES = strategy_names()
BY_PROBABILITY = ("least_confidence", "margin", "entropy", "clustered_margin")
every_strategy = pytest.mark.parametrize("name", NAMES)


def test_the_registry_holds_what_projects_may_name() -> None:
    assert set(NAMES) == {
        "random", "least_confidence", "margin", "entropy", "committee", "kmeans", "coreset", "typiclust",
        "clustered_margin", "auto",
    }  # fmt: skip


def test_an_unknown_strategy_names_those_that_exist() -> None:
    with pytest.raises(UnknownStrategy, match=r"'best'.*clustered_margin"):
        get_strategy("best")


@every_strategy
@pytest.mark.parametrize("size", [0, 1, 7, 40, 108, 500])
def test_returns_as_many_rows_as_asked_for_or_as_there_are(make_context: ContextMaker, name: str, size: int) -> None:
    ranking = get_strategy(name).rank(make_context(), size)
    k = min(size, 108)
    assert ranking.rows.shape == (k,)
    assert ranking.rows.dtype == np.int64
    assert ranking.scores.shape == (k,)
    assert np.issubdtype(ranking.scores.dtype, np.floating)
    assert np.isfinite(ranking.scores).all()
    assert len(ranking.reasons) == k
    assert all(reason and len(reason) < 80 for reason in ranking.reasons)


@every_strategy
def test_returns_candidates_only_and_none_twice(make_context: ContextMaker, name: str) -> None:
    candidates = np.arange(20, 120, 2)
    context = make_context(candidates=candidates, probabilities=make_context(candidates=candidates).probabilities)
    ranking = get_strategy(name).rank(context, 200)
    assert sorted(ranking.rows.tolist()) == candidates.tolist()


@every_strategy
def test_never_returns_what_is_labelled_or_pending_even_where_it_is_a_candidate(
    make_context: ContextMaker, name: str
) -> None:
    context = make_context(candidates=np.arange(120), pending=np.array([50, 60, 70]))
    ranking = get_strategy(name).rank(context, 120)
    assert sorted(ranking.rows.tolist()) == sorted(set(range(12, 120)) - {50, 60, 70})


@every_strategy
def test_the_same_seed_gives_the_same_ranking(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    first, second = strategy.rank(make_context(seed=3), 60), strategy.rank(make_context(seed=3), 60)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.reasons == second.reasons


@every_strategy
def test_a_short_ranking_is_the_start_of_a_long_one(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    long = strategy.rank(make_context(), 108)
    for size in (1, 3, 5, 8, 17, 33, 60):
        short = strategy.rank(make_context(), size)
        np.testing.assert_array_equal(short.rows, long.rows[:size])
        np.testing.assert_array_equal(short.scores, long.scores[:size])


@every_strategy
def test_the_order_in_which_candidates_come_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context()
    order = np.random.default_rng(1).permutation(len(context.candidates))
    assert context.probabilities is not None
    shuffled = make_context(candidates=context.candidates[order], probabilities=context.probabilities[order])
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(shuffled, 50).rows)


@pytest.mark.parametrize("name", [*BY_PROBABILITY, "kmeans", "coreset", "typiclust", "auto", "random"])
def test_the_order_of_the_classes_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context()
    order = np.array([2, 0, 1])
    assert context.probabilities is not None
    renamed = make_context(probabilities=context.probabilities[:, order], y=np.argsort(order)[context.y])
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(renamed, 50).rows)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
def test_the_order_of_the_pool_does_not_matter_to_a_score(make_context: ContextMaker, name: str) -> None:
    context = make_context(n_labeled=0)
    order = np.random.default_rng(1).permutation(120)
    moved = make_context(features=context.features[order], n_labeled=0)
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, order[strategy.rank(moved, 50).rows])


@every_strategy
def test_ties_are_decided_by_the_seed_and_not_by_the_place_in_the_array(make_context: ContextMaker, name: str) -> None:
    same = make_context(features=np.ones((120, 6), np.float16))
    strategy = get_strategy(name)
    rankings = [strategy.rank(replace(same, rng=np.random.default_rng(seed)), 20).rows for seed in range(4)]
    assert all(len(set(rows.tolist())) == 20 for rows in rankings)
    assert len({tuple(rows.tolist()) for rows in rankings}) == 4
    assert all(np.diff(rows).min() < 0 for rows in rankings)


@every_strategy
def test_an_empty_pool_gives_an_empty_ranking(make_context: ContextMaker, name: str) -> None:
    context = make_context(candidates=np.empty(0, np.int64), probabilities=np.empty((0, 3)))
    ranking = get_strategy(name).rank(context, 10)
    assert (len(ranking.rows), len(ranking.scores), ranking.reasons) == (0, 0, [])


@every_strategy
def test_a_pool_of_one_is_ranked(make_context: ContextMaker, name: str) -> None:
    context = make_context(candidates=np.array([77]), probabilities=np.array([[0.2, 0.3, 0.5]]))
    assert get_strategy(name).rank(context, 10).rows.tolist() == [77]


@every_strategy
def test_a_pool_of_one_without_labels_is_ranked(make_context: ContextMaker, name: str) -> None:
    context = make_context(n=1, n_labeled=0)
    assert get_strategy(name).rank(context, 3).rows.tolist() == [0]


@every_strategy
def test_a_project_of_one_class_is_ranked(make_context: ContextMaker, name: str) -> None:
    context = make_context(n_classes=1)
    assert len(get_strategy(name).rank(context, 30)) == 30


@every_strategy
def test_nothing_labelled_yet_is_no_obstacle(make_context: ContextMaker, name: str) -> None:
    ranking = get_strategy(name).rank(make_context(n_labeled=0), 30)
    assert len(set(ranking.rows.tolist())) == 30


@every_strategy
def test_duplicates_of_one_item_are_ranked_once_each(make_context: ContextMaker, name: str) -> None:
    features = np.repeat(np.random.default_rng(5).normal(size=(6, 4)), 20, axis=0).astype(np.float32)
    ranking = get_strategy(name).rank(make_context(features=features), 108)
    assert sorted(ranking.rows.tolist()) == list(range(12, 120))


@pytest.mark.parametrize("name", ["kmeans", "coreset", "typiclust", "clustered_margin", "committee", "auto"])
def test_a_batch_of_a_diverse_strategy_holds_no_duplicates_where_there_is_a_choice(
    make_context: ContextMaker, name: str
) -> None:
    groups = np.arange(120) % 8
    features = (np.eye(8)[groups] * 4.0).astype(np.float32)
    context = make_context(features=features, probabilities=np.full((119, 3), 1 / 3), n_labeled=1)
    ranking = get_strategy(name).rank(context, 5)
    assert len(set(groups[ranking.rows].tolist())) == 5


@every_strategy
def test_probabilities_that_are_nan_are_refused(make_context: ContextMaker, name: str) -> None:
    probabilities = np.full((108, 3), 1 / 3)
    probabilities[40, 1] = np.nan
    with pytest.raises(InvalidInput, match="NaN"):
        get_strategy(name).rank(make_context(probabilities=probabilities), 10)


@every_strategy
def test_probabilities_that_do_not_add_up_are_refused(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"adds up to 1\.5"):
        get_strategy(name).rank(make_context(probabilities=np.full((108, 3), 0.5)), 10)


@pytest.mark.parametrize("name", ["kmeans", "coreset", "typiclust", "clustered_margin", "committee", "auto"])
def test_features_that_are_nan_are_refused(make_context: ContextMaker, name: str) -> None:
    features = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    broken = features.copy()
    broken[12:, 2] = np.nan
    probabilities = make_context(features=features).probabilities
    with pytest.raises(InvalidInput, match=r"features: row \d+ holds NaN"):
        get_strategy(name).rank(make_context(features=broken, probabilities=probabilities), 10)


@pytest.mark.parametrize("name", BY_PROBABILITY)
def test_what_ranks_by_probability_says_so_when_there_is_none(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(MissingInput, match=rf"'{name}' needs probabilities"):
        get_strategy(name).rank(make_context(probabilities=None), 10)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(BY_PROBABILITY)))
def test_the_others_rank_without_a_model(make_context: ContextMaker, name: str) -> None:
    assert len(get_strategy(name).rank(make_context(probabilities=None), 10)) == 10


@every_strategy
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidates": np.array([5, 5]), "probabilities": None}, "candidates"),
        ({"candidates": np.array([500]), "probabilities": None}, "candidates"),
        ({"pending": np.array([-1])}, "pending"),
        ({"y": np.zeros(3, np.int64)}, "y"),
        ({"y": np.full(12, 9)}, "y"),
        ({"probabilities": np.full((7, 3), 1 / 3)}, "probabilities"),
        ({"committee": np.full((5, 7, 3), 1 / 3)}, "committee"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(
    make_context: ContextMaker, name: str, changes: dict[str, np.ndarray | None], field: str
) -> None:
    context = make_context(**changes)
    if context.probabilities is None and name in BY_PROBABILITY:
        context = replace(context, probabilities=np.full((len(context.candidates), 3), 1 / 3))
    with pytest.raises(InvalidInput, match=f"^{field}:"):
        get_strategy(name).rank(context, 10)


@every_strategy
def test_the_context_is_left_as_it_was(make_context: ContextMaker, name: str) -> None:
    context = make_context(scaling=(np.zeros(6), np.full(6, 2.0)), pending=np.array([30, 31]))
    assert context.probabilities is not None
    features, probabilities = context.features.copy(), context.probabilities.copy()
    get_strategy(name).rank(context, 50)
    np.testing.assert_array_equal(context.features, features)
    np.testing.assert_array_equal(context.probabilities, probabilities)


@every_strategy
def test_memory_mapped_features_rank_like_those_in_memory(
    make_context: ContextMaker, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context = make_context()
    path = tmp_path_factory.mktemp("features") / "features.npy"
    np.save(path, context.features)
    mapped = make_context(features=np.load(path, mmap_mode="r"))
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(mapped, 40).rows, strategy.rank(context, 40).rows)


# --- what each of them is for --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("n_labeled", "same_as"), [(20, "typiclust"), (90, "clustered_margin")])
def test_auto_begins_with_typiclust_and_goes_over_to_clustered_margin(
    make_context: ContextMaker, n_labeled: int, same_as: str
) -> None:
    auto = get_strategy("auto").rank(make_context(n=300, n_labeled=n_labeled), 20)
    other = get_strategy(same_as).rank(make_context(n=300, n_labeled=n_labeled), 20)
    np.testing.assert_array_equal(auto.rows, other.rows)


def test_scaling_decides_which_columns_count(make_context: ContextMaker) -> None:
    features = np.array([[0, 0], [1000, 0], [0, 1]], np.float32)
    context = make_context(features=features, labeled=np.array([0]), y=np.array([0]), probabilities=None)
    assert get_strategy("coreset").rank(context, 1).rows.tolist() == [1]
    scaled = replace(context, scaling=(np.zeros(2), np.array([10_000.0, 1.0])), rng=np.random.default_rng(0))
    assert get_strategy("coreset").rank(scaled, 1).rows.tolist() == [2]
