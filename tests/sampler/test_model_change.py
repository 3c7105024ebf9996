"""Gradient length, output change and expected error, each beside the long way round."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

import sampler.model_change
from sampler.errors import InvalidInput
from sampler.expected_error import expected_error_scores
from sampler.model_change import (
    Reach,
    feature_norms,
    gradient_length_scores,
    output_change_scores,
    residual_scores,
)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(sampler.model_change)
    assert result.attempted > 0
    assert result.failed == 0


def pool(n: int = 40, d: int = 5, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)).astype(np.float32), rng.dirichlet(np.ones(n_classes), n)


def test_gradient_length_is_that_of_the_gradients_themselves() -> None:
    x, p = pool()
    expected = np.zeros(len(x))
    for i, c in np.ndindex(p.shape):
        gradient = np.outer(p[i] - np.eye(3)[c], np.append(x[i], 1.0))
        expected[i] += p[i, c] * np.linalg.norm(gradient)
    scores = gradient_length_scores(p, feature_norms(x, np.arange(len(x))))
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_output_change_is_that_of_a_step_on_every_item_of_the_pool() -> None:
    x, p = pool()
    ones = np.hstack([x, np.ones((len(x), 1))])
    expected = np.zeros(len(x))
    for i, c in np.ndindex(p.shape):
        step = np.outer(np.eye(3)[c] - p[i], ones[i])
        expected[i] += p[i, c] * np.sqrt((np.linalg.norm(ones @ step.T, axis=1) ** 2).mean())
    scores = output_change_scores(p, Reach.of(x).scores(x, np.arange(len(x))))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_few_directions_and_the_mean_of_the_rest_come_near_to_all_of_them() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2_000, 40)) * 0.9 ** np.arange(40)).astype(np.float32)
    exact, short = (Reach.of(x, rank).scores(x, np.arange(2_000)) for rank in (41, 12))
    assert np.abs(short / exact - 1.0).max() < 0.03


def test_an_outlier_has_a_long_gradient_and_moves_nothing() -> None:
    x = np.zeros((101, 3), np.float32)
    x[:100, 0] = np.random.default_rng(0).normal(size=100) + 4.0
    x[100, 2] = 5.0
    p, rows = np.full((101, 2), 0.5), np.arange(101)
    assert gradient_length_scores(p, feature_norms(x, rows, intercept=False)).argmax() != 0
    changes = output_change_scores(p, Reach.of(x).scores(x, rows))
    lengths = gradient_length_scores(p, feature_norms(x, rows))
    assert lengths[100] > np.median(lengths)
    assert changes[100] == changes.min()


def test_scaling_is_applied_before_lengths_are_taken() -> None:
    x, _ = pool()
    scaling = np.arange(5.0), np.arange(1.0, 6.0)
    scaled = ((x - scaling[0]) / scaling[1]).astype(np.float32)
    rows = np.arange(len(x))
    np.testing.assert_allclose(feature_norms(x, rows, scaling), feature_norms(scaled, rows), rtol=1e-6)
    reach = Reach.of(scaled)
    np.testing.assert_allclose(reach.scores(x, rows, scaling), reach.scores(scaled, rows), rtol=1e-5)


def test_what_does_not_go_together_is_refused() -> None:
    x, p = pool()
    with pytest.raises(InvalidInput, match="norms: shape"):
        gradient_length_scores(p, np.ones(3))
    with pytest.raises(InvalidInput, match="reaches: a length"):
        output_change_scores(p, np.full(40, np.nan))
    with pytest.raises(InvalidInput, match="adds up to 1"):
        residual_scores(p[:, :2] * 3)
    x[7, 1] = np.inf
    with pytest.raises(InvalidInput, match="row 7"):
        feature_norms(x, np.arange(40))
    with pytest.raises(InvalidInput, match="row 7"):
        Reach.of(np.ones((3, 5), np.float32)).scores(x, np.arange(40))
    with pytest.raises(InvalidInput, match="sample of the pool"):
        Reach.of(np.ones((3, 4), np.float32)).scores(x, np.arange(40))


# --- expected error --------------------------------------------------------------------------------------------------


def problem(seed: int, n_classes: int = 3, d: int = 8, labels: int = 30) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(seed)
    y = np.arange(labels + 40) % n_classes
    return rng.normal(size=(n_classes, d))[y] + rng.normal(size=(labels + 40, d)), y, labels


def error(p: np.ndarray, loss: str) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) if loss == "log" else 1.0 - p.max(axis=1)


def refitted(x: np.ndarray, y: np.ndarray, labels: int, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """What a refit for each candidate and class finds, and what one step finds."""

    def fit(a: np.ndarray, b: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=0.1, max_iter=1_000, tol=1e-7).fit(a, b)

    head, rest = fit(x[:labels], y[:labels]), x[labels:]
    p = head.predict_proba(rest)
    truth = np.full(len(rest), error(p, loss).mean())
    for a, c in np.ndindex(p.shape):
        after = fit(np.vstack([x[:labels], rest[a]]), np.append(y[:labels], c)).predict_proba(rest)
        truth[a] -= p[a, c] * error(after, loss).mean()
    on_labels = head.predict_proba(x[:labels])
    return truth, expected_error_scores(rest, p, rest, p, x[:labels], on_labels, ridge=10.0, loss=loss)


@pytest.mark.parametrize(("loss", "least"), [("log", 0.75), ("zero_one", 0.75)])
def test_one_step_ranks_nearly_as_a_refit_for_each_candidate_and_class_does(loss: str, least: float) -> None:
    correlations = [spearmanr(*refitted(*problem(seed), loss)).statistic for seed in range(3)]
    assert np.mean(correlations) > least


@pytest.mark.parametrize("loss", ["log", "zero_one"])
@pytest.mark.parametrize("labels", [0, 4, 30])
def test_the_shared_exponential_gives_what_a_loop_over_labels_gives(loss: str, labels: int) -> None:
    rng = np.random.default_rng(0)
    x, z, known = rng.normal(size=(6, 5)), rng.normal(size=(7, 5)), rng.normal(size=(labels, 5))
    p, q, r = (rng.dirichlet(np.ones(3), n) for n in (6, 7, labels))
    one = lambda a: np.hstack([a, np.ones((len(a), 1))])  # noqa: E731
    expected = np.full(6, error(q, loss).mean())
    for a, y in np.ndindex(6, 3):
        logits = np.log(q)
        for c in range(3):
            w, own = 1.5 * r[:, c] * (1 - r[:, c]), 1.5 * p[a, c] * (1 - p[a, c])
            point = one(x)[a]
            A = 0.5 * np.eye(6) + (one(known).T * w) @ one(known) + own * np.outer(point, point)
            logits[:, c] += (float(y == c) - p[a, c]) * (one(z) @ np.linalg.solve(A, point))
        after = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected[a] -= p[a, y] * error(after, loss).mean()
    found = expected_error_scores(x, p, z, q, known, r, ridge=0.5, loss=loss)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_label_that_is_known_already_teaches_nothing() -> None:
    x, z = np.random.default_rng(0).normal(size=(2, 3)), np.random.default_rng(1).normal(size=(20, 3))
    p, q = np.array([[1.0, 0.0], [0.5, 0.5]]), np.full((20, 2), 0.5)
    sure, torn = expected_error_scores(x, p, z, q, np.empty((0, 3)), np.empty((0, 2)))
    assert sure == pytest.approx(0.0, abs=1e-9)
    assert torn > 0.01


def test_expected_error_refuses_what_it_cannot_use() -> None:
    x, p = np.zeros((4, 2)), np.full((4, 2), 0.5)
    none = np.empty((0, 2))
    with pytest.raises(InvalidInput, match="loss"):
        expected_error_scores(x, p, x, p, none, none, loss="hinge")
    with pytest.raises(InvalidInput, match=r"^pool:"):
        expected_error_scores(x, p, np.zeros((3, 2)), p, none, none)
    with pytest.raises(InvalidInput, match=r"^candidates: .*NaN"):
        expected_error_scores(np.full((4, 2), np.nan), p, x, p, none, none)
