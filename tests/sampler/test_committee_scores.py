"""A committee's disagreement: by hand, beside modAL's on the same members, and in one product with all weights."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import sampler.committee_scores
from sampler import linear_committee
from sampler.committee_scores import (
    bald_scores,
    check_committee,
    consensus_entropy_scores,
    hard_vote_entropy_scores,
    kl_max_scores,
    soft_vote_entropy_scores,
)
from sampler.errors import InvalidInput
from sampler.linear_committee import LinearCommittee, fit_linear_committee, linear_committee_scores
from sampler.modal import committee_of, load_modal
from sampler.query import QueryContext
from sampler.strategies import get_strategy

SCORES = {
    "vote_entropy": hard_vote_entropy_scores,
    "consensus_entropy": consensus_entropy_scores,
    "kl_max": kl_max_scores,
    "bald": bald_scores,
}
every_score = pytest.mark.parametrize("name", SCORES)


def members(seed: int = 0, n: int = 300, n_members: int = 5, n_classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.5), (n_members, n))


def linear(seed: int = 0, n_members: int = 5, n_classes: int = 4, d: int = 6) -> LinearCommittee:
    rng = np.random.default_rng(seed)
    return LinearCommittee(
        rng.normal(size=(n_members, n_classes, d)).astype(np.float32),
        rng.normal(size=(n_members, n_classes)).astype(np.float32),
    )


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(sampler.committee_scores)
    assert result.attempted > 0
    assert result.failed == 0


def test_two_members_by_hand() -> None:
    a, b = np.array([0.8, 0.2]), np.array([0.4, 0.6])
    mean = (a + b) / 2
    entropy = lambda p: float(-(p * np.log(p)).sum())  # noqa: E731
    committee = np.array([[a], [b]])
    assert hard_vote_entropy_scores(committee)[0] == 1.0
    assert consensus_entropy_scores(committee)[0] == pytest.approx(entropy(mean) / np.log(2))
    assert bald_scores(committee)[0] == pytest.approx(entropy(mean) - (entropy(a) + entropy(b)) / 2)
    assert kl_max_scores(committee)[0] == pytest.approx(max((p * np.log(p / mean)).sum() for p in (a, b)))


def test_bald_is_the_mean_divergence_from_the_mean() -> None:
    committee = members()
    mean = committee.mean(axis=0)
    divergences = (committee * np.log(committee / mean)).sum(axis=2)
    np.testing.assert_allclose(bald_scores(committee), divergences.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(kl_max_scores(committee), divergences.max(axis=0), atol=1e-12)


def test_soft_votes_are_the_consensus() -> None:
    np.testing.assert_array_equal(soft_vote_entropy_scores(members()), consensus_entropy_scores(members()))


@every_score
def test_members_that_are_the_same_disagree_on_nothing_but_what_they_all_doubt(name: str) -> None:
    same = np.repeat(np.array([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]]), 3, axis=0)
    expected = [np.log(2) / np.log(3), 0.0] if name == "consensus_entropy" else [0.0, 0.0]
    np.testing.assert_allclose(SCORES[name](same), expected, atol=1e-12)


@every_score
def test_the_order_of_members_and_classes_does_not_matter(name: str) -> None:
    committee = members()
    mixed = committee[[3, 1, 4, 0, 2]][:, :, [2, 0, 3, 1]]
    np.testing.assert_allclose(SCORES[name](mixed), SCORES[name](committee), atol=1e-12)


@every_score
def test_long_pools_and_half_precision_change_nothing_but_the_last_digits(name: str) -> None:
    committee = members(n=30_000)
    scores = SCORES[name](committee)
    parts = np.concatenate([SCORES[name](committee[:, s : s + 999]) for s in range(0, 30_000, 999)])
    np.testing.assert_allclose(scores, parts, atol=1e-12)
    if name != "vote_entropy":
        np.testing.assert_allclose(SCORES[name](committee.astype(np.float16)), scores, atol=4e-3)


@every_score
@pytest.mark.parametrize("shape", [(1, 5, 3), (4, 5, 1), (4, 0, 3)])
def test_one_member_one_class_and_no_items_have_nothing_to_disagree_about(name: str, shape: tuple[int, ...]) -> None:
    scores = SCORES[name](np.full(shape, 1.0 / shape[2]))
    assert scores.shape == (shape[1],)
    if name != "consensus_entropy" or shape[2] == 1:
        assert scores.tolist() == [0.0] * shape[1]


def test_bad_members_are_named() -> None:
    committee = members()
    committee[2, 7, 1] = np.nan
    with pytest.raises(InvalidInput, match="committee: member 2: row 7 holds NaN"):
        check_committee(committee)
    with pytest.raises(InvalidInput, match=r"member 0: row 0 adds up to 2"):
        bald_scores(members() * 2)
    with pytest.raises(InvalidInput, match="shape"):
        check_committee(np.full((3, 2), 0.5))
    with pytest.raises(InvalidInput, match="weights"):
        LinearCommittee(np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), np.float32))


# --- linear members --------------------------------------------------------------------------------------------------


@every_score
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_one_product_scores_as_the_members_probabilities_do(name: str, dtype: type) -> None:
    features = np.random.default_rng(1).normal(size=(5_000, 6)).astype(dtype)
    rows = np.random.default_rng(2).permutation(5_000)[:3_000]
    committee = linear()
    expected = SCORES[name](committee.probabilities(features[rows].astype(np.float32)).astype(np.float64))
    np.testing.assert_allclose(linear_committee_scores(committee, features, rows, name, 4), expected, atol=3e-6)


@every_score
def test_many_classes_are_scored_in_blocks_that_differ_in_nothing(name: str) -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(5, 300, 6)) + 3.0 * rng.normal(size=(300, 6))
    committee = LinearCommittee(weights.astype(np.float32), rng.normal(size=(5, 300)).astype(np.float32))
    features = rng.normal(size=(700, 6)).astype(np.float16)  # more than two blocks of 256
    expected = SCORES[name](committee.probabilities(features.astype(np.float32)).astype(np.float64))
    scores = linear_committee_scores(committee, features, np.arange(700), name, 300)
    assert 0.0 < expected.min() < expected.max() or name == "vote_entropy"
    np.testing.assert_allclose(scores, expected, atol=5e-6)


@every_score
def test_threads_change_no_bit(name: str) -> None:
    features = np.random.default_rng(1).normal(size=(70_000, 6)).astype(np.float16)
    one, three = (linear_committee_scores(linear(), features, np.arange(70_000), name, 4, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one, three)
    features[69_000, 2] = np.nan
    with pytest.raises(InvalidInput, match="row 69000 holds NaN"):
        linear_committee_scores(linear(), features, np.arange(70_000), name, 4, threads=2)


def test_scaling_moves_into_the_weights() -> None:
    x = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    scaling = np.arange(6.0), np.arange(1.0, 7.0)
    scaled = ((x - scaling[0]) / scaling[1]).astype(np.float32)
    committee = linear()
    np.testing.assert_allclose(committee.unscaled(scaling).logits(x), committee.logits(scaled), atol=1e-4)


def test_features_that_are_nan_or_of_another_width_are_refused() -> None:
    x = np.ones((9_000, 6), np.float32)
    x[8_500, 2] = np.nan
    with pytest.raises(InvalidInput, match="row 8500 holds NaN"):
        linear_committee_scores(linear(), x, np.arange(9_000), "bald", 4)
    with pytest.raises(InvalidInput, match="6 columns"):
        linear_committee_scores(linear(), x[:, :5], np.arange(5), "bald", 4)


def fitted_by_modal(n_classes: int) -> tuple[LinearCommittee, object, np.ndarray]:
    rng = np.random.default_rng(3)
    y = np.arange(60) % n_classes
    x = (np.eye(n_classes, 5)[y] + rng.normal(scale=0.7, size=(60, 5))).astype(np.float32)
    draws = [np.concatenate([np.arange(n_classes), rng.integers(60, size=50)]) for _ in range(4)]
    modal = committee_of([(LogisticRegression(), x[d], y[d]) for d in draws])
    heads = [learner.estimator for learner in modal]
    half = n_classes == 2
    weights = [np.vstack([-h.coef_, h.coef_]) / 2 if half else h.coef_ for h in heads]
    intercepts = [np.r_[-h.intercept_, h.intercept_] / 2 if half else h.intercept_ for h in heads]
    ours = LinearCommittee(np.array(weights, np.float32), np.array(intercepts, np.float32))
    return ours, modal, rng.normal(size=(200, 5)).astype(np.float32)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_modal_gives_the_same_members_the_same_values(n_classes: int) -> None:
    load_modal()
    from modAL.disagreement import KL_max_disagreement, consensus_entropy, vote_entropy

    ours, modal, x = fitted_by_modal(n_classes)

    def score(name: str) -> np.ndarray:
        return linear_committee_scores(ours, x, np.arange(200), name, n_classes)

    np.testing.assert_allclose(score("vote_entropy") * np.log(min(4, n_classes)), vote_entropy(modal, x), atol=3e-6)
    np.testing.assert_allclose(score("consensus_entropy") * np.log(n_classes), consensus_entropy(modal, x), atol=3e-6)
    np.testing.assert_allclose(score("kl_max"), KL_max_disagreement(modal, x), atol=3e-6)


def test_fitted_members_agree_where_labels_are_clear_and_hang_on_the_generator() -> None:
    rng = np.random.default_rng(0)
    y = np.array([1, 4, 6])[np.arange(90) % 3]
    x = (np.eye(3)[np.arange(90) % 3] * 3.0 + rng.normal(scale=0.5, size=(90, 3))).astype(np.float32)
    first, same, other = (fit_linear_committee(x, y, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.weights.shape == (5, 3, 3)
    np.testing.assert_array_equal(first.weights, same.weights)
    assert not np.array_equal(first.weights, other.weights)
    assert (first.probabilities(x).argmax(axis=2) == np.arange(90) % 3).mean() > 0.97
    between = np.array([[3.0, 0.0, 0.0], [1.5, 1.5, 0.0]], np.float32)
    clear, torn = linear_committee_scores(first, between, np.arange(2), "bald", 3)
    assert torn > 5 * clear


def test_a_member_is_the_regression_on_its_bootstrap() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3
    x = (np.eye(3)[y] + rng.normal(size=(40, 3))).astype(np.float32)
    member = fit_linear_committee(x, y, np.random.default_rng(5), n_members=1)
    from sampler.committee import bootstrap

    drawn = bootstrap(y, np.random.default_rng(5))
    alone = LogisticRegression(C=10.0, max_iter=1_000, tol=1e-6).fit(x[drawn], y[drawn])
    np.testing.assert_allclose(member.probabilities(x)[0], alone.predict_proba(x), atol=0.03)


def test_members_over_many_classes_disagree_as_much_as_those_that_are_fitted_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(600) % 60
    x = rng.normal(size=(60, 64))[y] + rng.normal(size=(600, 64))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def disagreement() -> float:
        committee = fit_linear_committee(x, y, np.random.default_rng(1), n_members=3)
        return float(linear_committee_scores(committee, x, np.arange(600), "bald", 60).mean())

    found = disagreement()
    monkeypatch.setattr(linear_committee, "_TOLERANCE", 1e-7)
    monkeypatch.setattr(linear_committee, "_ITERATIONS", 1_000)
    assert found == pytest.approx(disagreement(), rel=0.05)


@pytest.mark.parametrize(("y", "n"), [(np.zeros(4, np.int64), 5), (np.arange(3), 5), (np.arange(4), 0)])
def test_a_committee_that_cannot_be_fitted_is_refused(y: np.ndarray, n: int) -> None:
    with pytest.raises(InvalidInput):
        fit_linear_committee(np.eye(4, dtype=np.float32), y, np.random.default_rng(0), n_members=n)


# --- strategies ------------------------------------------------------------------------------------------------------


@every_score
def test_a_handed_in_committee_is_ranked_by_its_score(make_context: Callable[..., QueryContext], name: str) -> None:
    committee = members(n=108, n_classes=3)
    ranking = get_strategy(name).rank(make_context(committee=committee), 108)
    np.testing.assert_array_equal(ranking.scores, np.sort(SCORES[name](committee))[::-1])
    np.testing.assert_array_equal(ranking.scores, SCORES[name](committee)[ranking.rows - 12])


def test_reasons_say_how_far_the_members_are_apart(make_context: Callable[..., QueryContext]) -> None:
    committee = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    context = make_context(n_classes=2, candidates=np.array([50]), committee=committee, probabilities=None)
    said = {name: get_strategy(name).rank(context, 1).reasons[0] for name in SCORES}
    assert said == {
        "vote_entropy": "all 2 models disagree",
        "consensus_entropy": "the model is torn between its classes (100 % of the most doubt)",
        "kl_max": "one of 2 models strays by 100 % of the most possible",
        "bald": "2 models contradict one another by 100 % of the most possible",
    }
