"""Scores over labels that do not exclude one another, by hand and beside a loop over pairs."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import sampler.multilabel
from sampler.errors import InvalidInput
from sampler.multilabel import (
    cardinality_inconsistency_scores,
    category_vector_inconsistency_scores,
    check_label_probabilities,
    label_entropy_scores,
    label_least_confidence_scores,
    label_margin_scores,
    max_loss_reduction_scores,
)

PER_LABEL = (label_entropy_scores, label_least_confidence_scores, label_margin_scores)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(sampler.multilabel)
    assert result.attempted > 0
    assert result.failed == 0


def test_mean_and_largest_by_hand() -> None:
    p = [[0.25, 0.5, 0.9]]
    entropies = [0.8112781244591328, 1.0, 0.4689955935892812]
    assert label_entropy_scores(p)[0] == pytest.approx(sum(entropies) / 3)
    assert label_entropy_scores(p, "max")[0] == 1.0
    assert label_least_confidence_scores(p)[0] == pytest.approx((0.25 + 0.5 + 0.1) / 3)
    assert label_margin_scores(p)[0] == pytest.approx((0.5 + 1.0 + 0.2) / 3)
    assert label_margin_scores(p, "max")[0] == 1.0


@pytest.mark.parametrize("score", PER_LABEL)
@pytest.mark.parametrize("how", ["mean", "max"])
def test_an_item_in_doubt_stands_above_a_sure_one_which_scores_nothing(score, how: str) -> None:
    p = np.array([[0.4, 0.9], [1.0, 0.0]], np.float16)
    torn, sure = score(p, how)
    assert torn > sure == 0.0
    assert score(np.empty((0, 2)), how).shape == (0,)


@pytest.mark.parametrize("score", PER_LABEL)
def test_another_aggregate_is_refused(score) -> None:
    with pytest.raises(InvalidInput, match="median"):
        score([[0.5]], "median")


@pytest.mark.parametrize("bad", [[[np.nan, 0.5]], [[1.2, 0.0]], [[-0.1, 0.0]], [0.5], np.empty((2, 0))])
def test_what_is_no_probability_is_refused(bad) -> None:
    with pytest.raises(InvalidInput, match="probabilities"):
        check_label_probabilities(bad)


def test_probabilities_need_not_add_up_to_one() -> None:
    assert check_label_probabilities([[1, 1, 1]]).tolist() == [[1.0, 1.0, 1.0]]


def test_loss_reduction_is_high_where_number_and_labels_contradict_each_other() -> None:
    p = [[0.9, 0.2, 0.1], [0.4, 0.4, 0.4]]
    np.testing.assert_allclose(max_loss_reduction_scores(p), [(0.1 + 0.2 + 0.1) / 3, (0.6 + 0.4 + 0.4) / 3])
    assert max_loss_reduction_scores(p, [0, 0]).tolist() == pytest.approx([1.2 / 3, 1.2 / 3])
    for bad in ([1], [4, 0], [-1, 0]):
        with pytest.raises(InvalidInput, match="n_positive"):
            max_loss_reduction_scores(p, bad)


def test_cardinality_is_compared_with_the_mean_of_the_labels_so_far() -> None:
    known = [[1, 1, 0], [1, 0, 0], [0, 1, 1]]
    assert cardinality_inconsistency_scores([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]], known) == pytest.approx([4 / 3, 5 / 3])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    if (a != b).all():
        return 1.0

    def entropy(counts: np.ndarray) -> float:
        p = counts[counts > 0] / counts.sum()
        return float(-(p * np.log(p)).sum())

    joint = entropy(np.bincount((2 * a + b).astype(int), minlength=4))
    alone = entropy(np.bincount(a.astype(int))) + entropy(np.bincount(b.astype(int)))
    return (2 * joint - alone) / joint if joint else 0.0


def test_category_vectors_are_as_far_apart_as_a_loop_over_pairs_says() -> None:
    rng = np.random.default_rng(0)
    p, known = rng.random((30, 5)), rng.integers(2, size=(12, 5))
    expected = [np.mean([distance(a, b) for b in known]) for a in (p > 0.5).astype(int)]
    np.testing.assert_allclose(category_vector_inconsistency_scores(p, known), expected, atol=1e-12)


def test_the_same_vector_is_at_no_distance_and_the_opposite_at_one() -> None:
    assert category_vector_inconsistency_scores([[0.9, 0.1, 0.1]], [[1, 0, 0]]).tolist() == [0.0]
    assert category_vector_inconsistency_scores([[0.9, 0.1, 0.1]], [[0, 1, 1]]).tolist() == [1.0]


@pytest.mark.parametrize("labels", [[[1, 2]], [[1]], np.empty((0, 2)), [1, 0]])
@pytest.mark.parametrize("score", [cardinality_inconsistency_scores, category_vector_inconsistency_scores])
def test_labels_that_do_not_go_with_the_probabilities_are_refused(score, labels) -> None:
    with pytest.raises(InvalidInput, match="labels"):
        score([[0.5, 0.5]], labels)
