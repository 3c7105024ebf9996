"""What the batch strategies are for: the pool's doubts and its shape, whole, in parts, and with items in hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sampler.coverage import evenness, hubness
from sampler.diversity import square_distances
from sampler.gradients import residuals
from sampler.head import LinearHead
from sampler.query import QueryContext
from sampler.scores import margin_scores
from sampler.strategies import get_strategy
from tests.sampler.test_coverage import plain_cover
from tests.sampler.test_design import plain_i_optimal
from tests.sampler.test_ranked import modals

ContextMaker = Callable[..., QueryContext]
NEW = ("badge", "i_optimal", "herding", "uncertainty_herding", "probcover", "ranked_batch", "dropquery")
HEAD = LinearHead(np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32) * 2, np.zeros(3, np.float32))
GROUPS = np.repeat(np.arange(5), 20)
NO_ROWS = np.empty(0, np.int64)


def grouped(scale: float = 0.05) -> np.ndarray:
    noise = np.random.default_rng(0).normal(scale=scale, size=(100, 5))
    return (np.eye(5)[GROUPS] * 5.0 + noise).astype(np.float32)


def with_head(make_context: ContextMaker, **changes: object) -> QueryContext:
    """A context whose probabilities are a softmax over linear scores, as a teacher's are."""
    context = make_context(**changes)
    return replace(context, probabilities=HEAD.probabilities(context.points(context.candidates)))


def groups_beside_pending(make_context: ContextMaker, name: str, seed: int) -> list[int]:
    """The groups of the first three picks where two of five groups, the second and the third, are in people's hands."""
    pending = np.array([20, 21, 22, 40, 41, 42])
    context = make_context(
        features=grouped(), labeled=NO_ROWS, candidates=np.setdiff1d(np.arange(100), pending), pending=pending,
        batch_size=3, probabilities=np.full((94, 3), 1 / 3), seed=seed,
    )  # fmt: skip
    return [int(group) for group in GROUPS[get_strategy(name).rank(context, 3).rows]]


@pytest.mark.parametrize("name", sorted(set(NEW) - {"dropquery"}))
def test_what_is_pending_elsewhere_is_left_for_later(make_context: ContextMaker, name: str) -> None:
    for seed in range(5):
        assert sorted(groups_beside_pending(make_context, name, seed)) == [0, 3, 4]


def test_dropquery_leaves_it_for_later_as_far_as_k_means_can_tell(
    make_context: ContextMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With probabilities that are all alike, chance decides whose guess changes: here everyone's does.
    monkeypatch.setattr("sampler.strategies.dropquery.changes", lambda ctx, at, head, seed: np.full(len(at), 3.0))
    groups = [group for seed in range(20) for group in groups_beside_pending(make_context, "dropquery", seed)]
    assert sum(group in (1, 2) for group in groups) <= 6  # of 60; chance alone gives 24


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("badge", "badge.SAMPLE_ROWS"),
        ("i_optimal", "i_optimal.CANDIDATES"),
        ("herding", "herding.COVER_ROWS"),
        ("uncertainty_herding", "uncertainty_herding.COVER_ROWS"),
        ("probcover", "probcover.COVER_ROWS"),
        ("dropquery", "dropquery.LOOKED_AT"),
    ],
)
def test_where_a_part_of_the_pool_is_looked_at_the_ranking_still_reaches_all(
    make_context: ContextMaker, monkeypatch: pytest.MonkeyPatch, name: str, constant: str
) -> None:
    monkeypatch.setattr(f"sampler.strategies.{constant}", 30)
    strategy = get_strategy(name)
    long = strategy.rank(make_context(), 108)
    assert sorted(long.rows.tolist()) == list(range(12, 120))
    assert np.isfinite(long.scores).all()
    short = strategy.rank(make_context(), 25)
    np.testing.assert_array_equal(short.rows, long.rows[:25])
    shuffled = make_context(candidates=np.arange(119, 11, -1))
    np.testing.assert_array_equal(strategy.rank(shuffled, 25).rows, short.rows)


@pytest.mark.parametrize("name", NEW)
def test_a_reserve_of_thousands_holds_each_item_once(make_context: ContextMaker, name: str) -> None:
    context = with_head(make_context, n=2_600, n_labeled=60)
    ranking = get_strategy(name).rank(context, 2_000)
    assert len(set(ranking.rows.tolist())) == 2_000
    assert len(ranking.reasons) == 2_000
    assert np.isfinite(ranking.scores).all()


# --- BADGE ---------------------------------------------------------------------------------------------------------


def test_badge_gives_an_item_in_hands_the_gradient_that_the_model_would(make_context: ContextMaker) -> None:
    context = with_head(make_context)
    twin = 40
    features = context.features.copy()
    features[5] = features[twin]
    context = replace(context, features=features, pending=np.array([5]), labeled=NO_ROWS, y=NO_ROWS)
    firsts = [get_strategy("badge").rank(replace(context, rng=np.random.default_rng(s)), 108) for s in range(20)]
    places = [ranking.rows.tolist().index(twin) for ranking in firsts]
    assert min(places) > 60  # at a distance of nearly nothing from what is in hands


def test_badge_scores_are_distances_between_gradients(make_context: ContextMaker) -> None:
    context = with_head(make_context)
    assert context.probabilities is not None
    ranking = get_strategy("badge").rank(context, 20)
    points = context.points(context.candidates).astype(np.float64)
    g = (residuals(context.probabilities)[:, :, None] * points[:, None, :]).reshape(len(points), -1)
    at = np.searchsorted(context.candidates, ranking.rows)
    assert ranking.scores[0] == pytest.approx(np.linalg.norm(g[at[0]]), rel=1e-4)
    for i in range(1, 20):
        assert ranking.scores[i] == pytest.approx(np.linalg.norm(g[at[:i]] - g[at[i]], axis=1).min(), rel=1e-3)


# --- I-optimal -----------------------------------------------------------------------------------------------------


def test_i_optimal_picks_what_inverses_written_out_pick(make_context: ContextMaker) -> None:
    context = with_head(make_context, pending=np.array([30, 31]), candidates=np.setdiff1d(np.arange(12, 120), [30, 31]))
    points = context.points(context.candidates)
    covered = context.points(np.r_[np.arange(12), 30, 31]).astype(np.float64)
    weights = 1.0 - (HEAD.probabilities(points).astype(np.float64) ** 2).sum(axis=1)
    of_covered = 1.0 - (HEAD.probabilities(covered.astype(np.float32)).astype(np.float64) ** 2).sum(axis=1)
    known = (covered * of_covered[:, None]).T @ covered + 0.1 * np.eye(6)
    target = (points.astype(np.float64) * weights[:, None]).T @ points
    ranking = get_strategy("i_optimal").rank(context, 12)
    picks, gains = plain_i_optimal(points, weights, target, known, 12)
    assert ranking.rows.tolist() == context.candidates[picks].tolist()
    np.testing.assert_allclose(ranking.scores, np.array(gains) / weights.sum(), rtol=1e-2, atol=1e-5)


def test_i_optimal_begins_like_typiclust(make_context: ContextMaker) -> None:
    context = make_context(probabilities=None)
    again = make_context(probabilities=None)
    np.testing.assert_array_equal(
        get_strategy("i_optimal").rank(context, 9).rows, get_strategy("typiclust").rank(again, 9).rows
    )


# --- coverage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["herding", "uncertainty_herding"])
def test_herding_gains_what_is_gained_with_an_explicit_kernel(make_context: ContextMaker, name: str) -> None:
    context = make_context()
    points, covered = context.points(context.candidates), context.points(context.labeled)
    assert context.probabilities is not None
    weights = np.ones(108) if name == "herding" else margin_scores(context.probabilities)
    width = float(np.sqrt(np.median(square_distances(points, points))))
    kernel = np.exp(-square_distances(points, points).astype(np.float64) / (2 * width**2))
    near = np.exp(-square_distances(points, covered).astype(np.float64) / (2 * width**2))
    if name == "uncertainty_herding":  # hubs count for less, on either side
        usual = kernel.mean(axis=1)
        power = evenness(hubness(points, usual))
        assert power > 0.05
        near /= (usual[:, None] / usual.mean() * near.mean(axis=0) / usual.mean()) ** power
        kernel /= (usual[:, None] * usual / usual.mean() ** 2) ** power
    picks, gains = plain_cover(kernel, weights, near.max(axis=1), 15)
    ranking = get_strategy(name).rank(context, 15)
    # Not all the picks: of two points that cover each other best, either may be taken.
    assert ranking.rows[:5].tolist() == context.candidates[picks[:5]].tolist()
    np.testing.assert_allclose(ranking.scores * weights.sum(), gains, rtol=1e-3)


def test_uncertainty_herding_goes_where_the_doubts_are_and_herding_where_the_items_are(
    make_context: ContextMaker,
) -> None:
    features = grouped()
    groups = np.where(np.arange(100) < 50, 0, GROUPS)  # the first group is the largest by far
    features[:50] = features[:50] * 0.02 + np.float32([5, 0, 0, 0, 0])
    sure = np.where(groups == 3, 0.5, 0.99)[:, None]
    context = make_context(
        features=features, labeled=NO_ROWS, probabilities=np.hstack([sure, 1.0 - sure, np.zeros((100, 1))])
    )
    assert groups[get_strategy("herding").rank(context, 1).rows[0]] == 0
    assert groups[get_strategy("uncertainty_herding").rank(context, 1).rows[0]] == 3


def test_probcover_takes_the_fullest_ball_first_and_then_what_it_left(make_context: ContextMaker) -> None:
    groups = np.repeat(np.arange(3), [40, 25, 15])
    points = (np.eye(3)[groups] * 10.0 + np.random.default_rng(0).normal(scale=0.05, size=(80, 3))).astype(np.float32)
    distance = np.sqrt(square_distances(points, points))
    to_others = np.where(groups[:, None] == groups, np.inf, distance).min(axis=1)
    radius = np.sort(to_others)[3]  # three of eighty balls, less than a twentieth, may hold something of another group
    context = make_context(features=points, labeled=NO_ROWS, probabilities=None, n_classes=3, batch_size=3)
    ranking = get_strategy("probcover").rank(context, 4)
    assert groups[ranking.rows].tolist() == [0, 1, 2, 0]
    _, gains = plain_cover((distance <= radius).astype(float), np.ones(80), np.zeros(80), 3)
    np.testing.assert_allclose(ranking.scores[:3], np.array(gains) / 80)
    assert ranking.reasons[2:] == [
        "many items are like it, and none of them is labelled",
        "one more from where labels are already",
    ]


# --- ranked batch, DropQuery ---------------------------------------------------------------------------------------


def test_ranked_batch_ranks_as_modal_does_with_what_is_in_hands_counted_as_labelled(make_context: ContextMaker) -> None:
    pending = np.array([50, 51, 52])
    candidates = np.setdiff1d(np.arange(12, 120), pending)
    context = make_context(candidates=candidates, pending=pending)
    assert context.probabilities is not None
    points = context.points(candidates).astype(np.float64)
    covered = context.points(np.r_[np.arange(12), pending]).astype(np.float64)
    expected = modals(points, 1.0 - context.probabilities.max(axis=1), covered, 30)
    assert get_strategy("ranked_batch").rank(context, 30).rows.tolist() == candidates[expected].tolist()


def test_dropquery_finds_the_guesses_that_hang_on_a_few_columns(make_context: ContextMaker) -> None:
    rng = np.random.default_rng(0)
    firm = rng.random(100) < 0.5
    # Firm items say the same in all 30 columns, the others in two columns out of thirty and the reverse in three.
    features = np.where(firm[:, None], 0.5, 0.0) * np.ones((100, 30))
    features[~firm, :2] = 3.0
    features[~firm, 2:5] = -1.9
    features += rng.normal(scale=0.01, size=(100, 30))
    head = LinearHead(np.stack([np.full(30, 0.5), np.full(30, -0.5)]).astype(np.float32), np.zeros(2, np.float32))
    points = features.astype(np.float32)
    context = make_context(features=points, labeled=NO_ROWS, n_classes=2, probabilities=head.probabilities(points))
    ranking = get_strategy("dropquery").rank(context, 10)
    assert not firm[ranking.rows].any()
    assert set(ranking.reasons) == {"the guess changes when parts of the item are hidden"}
