"""Pools and projects at the edge of what there can be."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.query import QueryContext
from sampler.strategies import get_strategy
from tests.sampler.conformance.registered import NAMES, NEED_PROBABILITIES, every_strategy
from tests.sampler.conftest import ContextMaker


def ranks_all(name: str, context: QueryContext) -> None:
    """All candidates come, each once, with finite scores and a reason."""
    ranking = get_strategy(name).rank(context, len(context.candidates) + 5)
    assert sorted(ranking.rows.tolist()) == sorted(context.candidates.tolist())
    assert np.isfinite(ranking.scores).all()
    assert all(ranking.reasons)


@every_strategy
def test_an_empty_pool_gives_an_empty_ranking(make_context: ContextMaker, name: str) -> None:
    context = make_context(candidates=np.empty(0, np.int64), probabilities=np.empty((0, 3)))
    ranking = get_strategy(name).rank(context, 10)
    assert (len(ranking.rows), len(ranking.scores), ranking.reasons) == (0, 0, [])


@every_strategy
def test_a_pool_without_any_rows_at_all(make_context: ContextMaker, name: str) -> None:
    context = make_context(features=np.empty((0, 6), np.float32), n_labeled=0, probabilities=np.empty((0, 3)))
    assert len(get_strategy(name).rank(context, 10)) == 0


@every_strategy
def test_a_pool_of_one(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(candidates=np.array([77]), probabilities=np.array([[0.2, 0.3, 0.5]])))


@every_strategy
def test_a_pool_of_one_without_labels(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(n=1, n_labeled=0))


@every_strategy
@pytest.mark.parametrize("m", [2, 3, 11])
def test_a_pool_smaller_than_a_neighbourhood(make_context: ContextMaker, name: str, m: int) -> None:
    ranks_all(name, make_context(candidates=np.arange(20, 20 + m)))


@every_strategy
def test_features_of_one_column(make_context: ContextMaker, name: str) -> None:
    features = np.random.default_rng(4).normal(size=(120, 1)).astype(np.float32)
    probabilities = np.random.default_rng(5).dirichlet(np.ones(3), 108)
    ranks_all(name, make_context(features=features, probabilities=probabilities))


@every_strategy
def test_features_that_are_all_alike(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(features=np.full((120, 6), 0.25, np.float32)))


@every_strategy
def test_features_that_are_all_zero(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(features=np.zeros((120, 6), np.float32)))


@every_strategy
def test_a_column_that_never_changes(make_context: ContextMaker, name: str) -> None:
    features = np.random.default_rng(4).normal(size=(120, 6)).astype(np.float32)
    features[:, 3] = 7.0
    ranks_all(name, make_context(features=features))


@every_strategy
def test_duplicates_come_once_each(make_context: ContextMaker, name: str) -> None:
    features = np.repeat(np.random.default_rng(5).normal(size=(6, 4)), 20, axis=0).astype(np.float32)
    ranks_all(name, make_context(features=features))


@every_strategy
def test_a_project_of_one_class(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(n_classes=1))


@every_strategy
def test_labels_of_one_class_only(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(y=np.full(12, 2)))


@every_strategy
def test_one_label(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(n_labeled=1))


@every_strategy
def test_nothing_labelled_yet(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(n_labeled=0))


@every_strategy
def test_classes_not_seen_yet(make_context: ContextMaker, name: str) -> None:
    probabilities = make_context(n_classes=3, n_labeled=40).probabilities
    assert probabilities is not None
    wide = np.zeros((80, 7))
    wide[:, [1, 3, 6]] = probabilities
    y = np.array([1, 3, 6])[np.arange(40) % 3]
    ranks_all(name, make_context(n_classes=7, n_labeled=40, y=y, probabilities=wide))


@every_strategy
def test_a_model_that_is_sure_of_everything(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(probabilities=np.eye(3)[np.arange(108) % 3]))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(NEED_PROBABILITIES)))
def test_what_needs_no_model_ranks_without_one(make_context: ContextMaker, name: str) -> None:
    ranks_all(name, make_context(probabilities=None))
    ranks_all(name, make_context(probabilities=None, n_labeled=0))
