"""What a ranking looks like: its length, its types, and which rows may be in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sampler.strategies import get_strategy
from tests.sampler.conformance.registered import every_strategy
from tests.sampler.conftest import ContextMaker


@every_strategy
@pytest.mark.parametrize("size", [0, 1, 7, 40, 108, 500])
def test_as_many_rows_as_asked_for_or_as_there_are(make_context: ContextMaker, name: str, size: int) -> None:
    ranking = get_strategy(name).rank(make_context(), size)
    k = min(size, 108)
    assert len(ranking) == k
    assert ranking.rows.shape == (k,)
    assert ranking.rows.dtype == np.int64
    assert ranking.scores.shape == (k,)
    assert np.issubdtype(ranking.scores.dtype, np.floating)
    assert np.isfinite(ranking.scores).all()
    assert len(ranking.reasons) == k
    assert all(reason and len(reason) < 80 for reason in ranking.reasons)


@every_strategy
def test_candidates_only_and_none_twice(make_context: ContextMaker, name: str) -> None:
    candidates = np.arange(20, 120, 2)
    ranking = get_strategy(name).rank(make_context(candidates=candidates), 200)
    assert sorted(ranking.rows.tolist()) == candidates.tolist()


@every_strategy
def test_never_what_is_labelled_or_pending_even_where_it_is_a_candidate(make_context: ContextMaker, name: str) -> None:
    context = make_context(candidates=np.arange(120), pending=np.array([50, 60, 70]))
    ranking = get_strategy(name).rank(context, 120)
    assert sorted(ranking.rows.tolist()) == sorted(set(range(12, 120)) - {50, 60, 70})


@every_strategy
def test_nothing_where_everything_is_pending(make_context: ContextMaker, name: str) -> None:
    assert len(get_strategy(name).rank(make_context(pending=np.arange(12, 120)), 10)) == 0


@every_strategy
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_any_width_are_taken(make_context: ContextMaker, name: str, dtype: type) -> None:
    features = np.random.default_rng(2).normal(size=(120, 6)).astype(np.float16)
    expected = get_strategy(name).rank(make_context(features=features), 30)
    same = make_context(features=features.astype(dtype), probabilities=make_context(features=features).probabilities)
    np.testing.assert_array_equal(get_strategy(name).rank(same, 30).rows, expected.rows)


@every_strategy
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_probabilities_of_any_width_are_taken(make_context: ContextMaker, name: str, dtype: type) -> None:
    context = make_context()
    assert context.probabilities is not None
    narrow = replace(context, probabilities=context.probabilities.astype(dtype))
    ranking = get_strategy(name).rank(narrow, 108)
    assert sorted(ranking.rows.tolist()) == list(range(12, 120))
    assert np.isfinite(ranking.scores).all()


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


@every_strategy
def test_the_context_is_left_as_it_was(make_context: ContextMaker, name: str) -> None:
    context = make_context(scaling=(np.zeros(6), np.full(6, 2.0)), pending=np.array([30, 31]))
    assert context.probabilities is not None
    features, probabilities, y = context.features.copy(), context.probabilities.copy(), context.y.copy()
    get_strategy(name).rank(context, 50)
    np.testing.assert_array_equal(context.features, features)
    np.testing.assert_array_equal(context.probabilities, probabilities)
    np.testing.assert_array_equal(context.y, y)
