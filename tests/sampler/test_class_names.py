"""What the names of classes say of items, and whether they say anything."""

from __future__ import annotations

import numpy as np
import pytest

from sampler import class_names
from sampler.class_names import ClassNames, column_means, names_evidence, names_trust
from sampler.errors import InvalidInput


def names_of(features: np.ndarray, vectors: np.ndarray) -> ClassNames:
    return ClassNames(features, vectors, column_means(features))


@pytest.fixture
def items() -> np.ndarray:
    """Thirty items around each of six corners."""
    rng = np.random.default_rng(0)
    return (np.eye(6, 8)[np.arange(180) % 6] + rng.normal(scale=0.15, size=(180, 8))).astype(np.float16)


def test_a_name_takes_the_items_that_it_points_at(items: np.ndarray) -> None:
    shares = names_of(items, np.eye(6, 8) + 3.0).shares(np.arange(180))
    assert (shares.shape, shares.dtype) == ((180, 6), np.float32)
    assert shares.argmax(axis=1).tolist() == (np.arange(180) % 6).tolist()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)


def test_shares_are_a_softmax_of_centred_cosines() -> None:
    items = np.float32([[1, 0], [-1, 0]])
    shares = names_of(items, np.float32([[5.0, 1.0], [5.0, -1.0], [5.05, 0.0], [4.95, 0.0]])).shares(np.array([0]))
    expected = np.exp(np.array([0.0, 0.0, 1.0, -1.0]) / 0.05)
    np.testing.assert_allclose(shares[0], expected / expected.sum(), rtol=1e-4, atol=1e-12)


def test_a_name_that_cannot_be_read_takes_nothing(items: np.ndarray) -> None:
    vectors = np.eye(6, 8)
    vectors[2], vectors[4] = 0.0, np.nan
    names = names_of(items, vectors)
    shares = names.shares(np.arange(180))
    assert names.readable.tolist() == [True, True, False, True, False, True]
    assert shares[:, [2, 4]].max() == 0.0
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    assert not names_of(items, np.zeros((6, 8))).shares(np.arange(3)).any()


def test_names_lie_among_items_or_they_do_not(items: np.ndarray) -> None:
    rows = np.arange(180)
    assert names_of(items, np.eye(6, 8)).near(rows).tolist() == [True] * 6
    elsewhere = np.array([[0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 1]])
    assert names_of(items, np.concatenate([np.eye(6, 8), elsewhere])).near(rows).tolist() == [True] * 6 + [False] * 2
    lone = np.concatenate([np.eye(1, 8), np.random.default_rng(1).normal(size=(5, 8)) * [0, 0, 0, 0, 0, 0, 1, 1]])
    assert names_of(items, lone).near(rows).tolist() == [False] * 6, "most of them say nothing"
    assert not names_of(items, np.eye(6, 8)).near(rows[:1]).any()


def test_names_lie_among_the_items_of_a_pool_that_is_sorted_by_class(
    items: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_names, "_NEAR_REFERENCES", 90)
    monkeypatch.setattr(class_names, "_NEAR_ROWS", 30)
    by_class = np.argsort(np.arange(180) % 6, kind="stable")
    assert names_of(items, np.eye(6, 8)).near(by_class).tolist() == [True] * 6


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_evidence_is_largest_where_each_name_finds_its_own(n_classes: int) -> None:
    assert names_evidence(np.eye(n_classes), np.arange(n_classes)) == pytest.approx(n_classes - 1)


def test_evidence_against_names_that_were_swapped_and_of_names_all_alike() -> None:
    assert names_evidence(np.eye(4)[[1, 0, 3, 2]], np.arange(4)) == pytest.approx(-1.0)
    assert names_evidence(np.full((4, 4), 0.25), np.arange(4)) == 0.0
    assert names_evidence(np.eye(4)[:1], np.array([0])) == 0.0
    assert names_evidence(np.empty((0, 4)), np.empty(0, np.int64)) == 0.0


def test_trust_is_what_names_have_of_their_own_beside_what_they_claim() -> None:
    shares = np.float32([[0.8, 0.2], [0.4, 0.6]])
    assert names_trust(shares, np.array([1, 1])) == pytest.approx((0.2 + 0.6) / (0.68 + 0.52))
    assert names_trust(shares, np.array([0, 1])) == 1.0, "they may be right more often than they claim"
    assert names_trust(np.empty((0, 2), np.float32), np.empty(0, np.int64)) == 0.0
    assert names_trust(np.zeros((1, 2), np.float32), np.array([0])) == 0.0


def test_evidence_of_names_dealt_at_random_is_standardised() -> None:
    rng = np.random.default_rng(3)
    table = rng.dirichlet(np.full(12, 0.3), 12)
    values = np.array([names_evidence(table[:, rng.permutation(12)], np.arange(12)) for _ in range(4_000)])
    assert abs(values.mean()) < 0.06
    assert values.std() == pytest.approx(1.0, abs=0.05)


def test_shapes_that_do_not_go_together_are_refused(items: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"^names: shapes \(6, 7\) and \(8,\) do not go with features of 8 columns"):
        names_of(items, np.eye(6, 7))
