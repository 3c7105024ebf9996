"""Density, class balance and powers: scores that weigh another score."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

import sampler.balance
import sampler.density
import sampler.power
from sampler.balance import balanced_order, balanced_scores, class_weights, predicted_counts, rarity_scores
from sampler.batch import best_first
from sampler.chunks import feature_chunks
from sampler.density import density_scores, density_weighted_scores
from sampler.errors import InvalidInput
from sampler.power import power_scores
from sampler.query import QueryContext
from sampler.strategies import get_strategy

ContextMaker = Callable[..., QueryContext]


@pytest.mark.parametrize("module", [sampler.balance, sampler.density, sampler.power])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_density_is_the_mean_of_all_pairs(dtype: type) -> None:
    features = (np.random.default_rng(0).normal(size=(6_000, 200)) + 0.3).astype(dtype)
    rows = np.random.default_rng(1).permutation(6_000)[:5_000]
    pairs = cosine_similarity(features[rows].astype(np.float64)).mean(axis=1)
    np.testing.assert_allclose(density_scores(features, rows), pairs, atol=1e-5)


def test_density_of_scaled_columns_is_that_of_columns_divided_beforehand() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    scale = np.array([1.0, 10.0, 0.1])
    found = density_scores(x, np.arange(50), (np.full(3, 7.0), scale))
    np.testing.assert_allclose(found, density_scores((x / scale).astype(np.float32), np.arange(50)), atol=1e-5)


def test_an_item_of_length_zero_is_like_nothing_and_nan_is_named() -> None:
    x = np.float32([[0, 0], [1, 0]])
    assert density_scores(x, np.arange(2)).tolist() == [0.0, 0.5]
    x[1, 1] = np.nan
    with pytest.raises(InvalidInput, match="row 1 holds NaN"):
        density_scores(x, np.arange(2))


def test_density_weighs_doubt_and_refuses_what_is_none() -> None:
    found = density_weighted_scores(np.array([1.0, 1.0, 0.5]), np.array([-0.2, 0.5, 1.0]))
    assert found.tolist() == [0.0, 0.5, 0.5]
    for scores, densities, weight in [
        ([-1.0], [1.0], 1.0),
        ([1.0], [np.nan], 1.0),
        ([1.0], [1.0], -1.0),
        ([], [1.0], 1),
    ]:
        with pytest.raises(InvalidInput):
            density_weighted_scores(np.array(scores), np.array(densities), weight=weight)


def test_stretches_of_neighbours_are_read_where_they_lie() -> None:
    x = np.random.default_rng(0).normal(size=(5_000, 384)).astype(np.float32)
    stretches = list(feature_chunks(x, np.arange(100, 4_900)))
    assert all(np.shares_memory(chunk, x) for _, chunk in stretches)
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in stretches]), x[100:4_900])
    rows = np.array([3, 9, 4])
    np.testing.assert_array_equal(next(iter(feature_chunks(x, rows)))[1], x[rows])


# --- balance ---------------------------------------------------------------------------------------------------------


def test_predictions_are_counted_over_a_long_pool() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 200_000).astype(np.float32)
    np.testing.assert_allclose(predicted_counts(p), p.sum(axis=0, dtype=np.float64), rtol=1e-5)


def test_a_rare_class_weighs_as_much_more_as_it_is_rarer() -> None:
    assert class_weights([99, 9, 0]).tolist() == [0.01, 0.1, 1.0]
    found = rarity_scores([[0.5, 0.5], [0.0, 1.0]], counts=[9, 0])
    np.testing.assert_allclose(found, [0.55, 1.0])
    for bad in ([], [-1.0], [np.nan], [[1.0]]):
        with pytest.raises(InvalidInput, match="counts"):
            class_weights(bad)
    with pytest.raises(InvalidInput, match="3 counts do not go with 2"):
        rarity_scores([[0.5, 0.5]], counts=[1, 2, 3])
    with pytest.raises(InvalidInput, match="outside"):
        balanced_scores(np.ones(1), np.array([2]), [1, 2])


def test_each_pick_counts_as_a_label_before_the_next() -> None:
    rng = np.random.default_rng(0)
    scores, predicted, counts = rng.random(80), rng.integers(4, size=80), np.array([5, 0, 1, 0])
    picks, values = balanced_order(scores, predicted, counts, np.arange(80), 30, seed=0)
    left, now = set(range(80)), counts.astype(float)
    for pick, value in zip(picks, values, strict=True):
        best = max(left, key=lambda i: scores[i] / (1 + now[predicted[i]]))
        assert (pick, value) == (best, scores[best] / (1 + now[predicted[best]]))
        left.remove(best)
        now[predicted[best]] += 1
    assert counts.tolist() == [5, 0, 1, 0]


def test_class_balanced_fills_up_the_class_without_labels_and_says_so(make_context: ContextMaker) -> None:
    p = np.tile([[0.6, 0.4, 0.0]], (108, 1))
    p[:10] = [0.2, 0.2, 0.6]
    context = make_context(y=np.array([0, 1] * 6), probabilities=p, class_names=("ham", "spam", "other"))
    ranking = get_strategy("class_balanced").rank(context, 4)
    assert (ranking.rows < 22).all()
    assert ranking.reasons[0] == "perhaps other, <1 % of the labels"
    assert (np.diff(ranking.scores) <= 0.0).all()


def test_rare_class_ranks_the_few_that_may_belong_to_it_first(make_context: ContextMaker) -> None:
    p = np.tile([[0.5, 0.5, 0.0]], (108, 1))
    p[[5, 50]] = [0.1, 0.1, 0.8]
    ranking = get_strategy("rare_class").rank(make_context(probabilities=p), 3)
    assert set(ranking.rows[:2].tolist()) == {17, 62}
    assert ranking.reasons[0] == "perhaps a class, 1 % of the pool"


@pytest.mark.parametrize("name", ["class_balanced", "rare_class", "gradient_length", "model_change", "expected_error"])
def test_the_order_of_the_classes_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context()
    order = np.array([2, 0, 1])
    assert context.probabilities is not None
    renamed = make_context(probabilities=context.probabilities[:, order], y=np.argsort(order)[context.y])
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(renamed, 50).rows)


# --- powers ----------------------------------------------------------------------------------------------------------


def test_the_first_of_a_power_draw_comes_as_often_as_the_powers_say() -> None:
    scores, rows = np.array([0.2, 0.4, 0.4, 0.0]), np.array([3, 7, 11, 20])
    for sharpness in (1.0, 2.0):
        first = [int(power_scores(scores, rows, seed, sharpness=sharpness).argmax()) for seed in range(6_000)]
        odds = np.maximum(scores, 1e-6) ** sharpness
        shares = np.bincount(first, minlength=4) / 6_000
        np.testing.assert_allclose(shares, odds / odds.sum(), atol=0.025)


def test_a_power_draw_hangs_on_rows_and_not_on_their_order() -> None:
    scores, rows = np.random.default_rng(0).random(50), np.random.default_rng(1).permutation(500)[:50]
    order = np.random.default_rng(2).permutation(50)
    drawn = power_scores(scores, rows, 4)
    np.testing.assert_array_equal(power_scores(scores[order], rows[order], 4), drawn[order])
    sharp = power_scores(scores, rows, 4, sharpness=1e6)
    np.testing.assert_array_equal(best_first(sharp, rows, 10, 0), best_first(scores, rows, 10, 0))


@pytest.mark.parametrize(
    ("scores", "sharpness"), [([-0.1, 1.0], 1.0), ([np.nan, 1.0], 1.0), ([1.0], 1.0), ([1.0, 1.0], -1.0)]
)
def test_what_has_no_power_is_refused(scores: list[float], sharpness: float) -> None:
    with pytest.raises(InvalidInput):
        power_scores(np.array(scores), np.arange(2), 0, sharpness=sharpness)
