"""Ranking in parts: the same as in one, to the last bit, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sampler.errors import InvalidInput, MissingInput, NotShardable, UnknownStrategy
from sampler.query import QueryContext, Ranking
from sampler.shards import merge_shards, rank_in_shards, rank_shard, shardable
from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conftest import ContextMaker

N = 6_000  # more than any first look keeps of a part, less than the largest samples
BY_COMMITTEE = {"vote_entropy", "consensus_entropy", "kl_max", "bald", "committee"}


def large(make_context: ContextMaker, n_classes: int = 3, dtype: type = np.float32, **changes: object) -> QueryContext:
    """Few different probabilities, so that many tie; rows in no order; a committee, pending rows and weights."""
    rng = np.random.default_rng(7)
    candidates = rng.permutation(N)[: N - 100] + 12
    probabilities = rng.dirichlet(np.ones(n_classes), N // 4)[rng.integers(0, N // 4, len(candidates))].astype(dtype)
    committee = rng.dirichlet(np.ones(n_classes), (4, len(candidates)))
    context = make_context(
        n=N + 12, d=5, n_classes=n_classes, candidates=candidates, probabilities=probabilities, committee=committee,
        pending=candidates[:9].copy(), weights=rng.integers(1, 4, len(candidates)).astype(float), batch_size=6,
    )  # fmt: skip
    return replace(context, **changes)


def assert_same(found: Ranking, wanted: Ranking) -> None:
    np.testing.assert_array_equal(found.rows, wanted.rows)
    np.testing.assert_array_equal(found.scores, wanted.scores)
    assert found.reasons == wanted.reasons
    assert (found.probabilities is None) == (wanted.probabilities is None)
    if wanted.probabilities is not None:
        np.testing.assert_array_equal(found.probabilities, wanted.probabilities)


def fresh(context: QueryContext) -> QueryContext:
    return replace(context, rng=np.random.default_rng(5))


@pytest.mark.parametrize("n_shards", [1, 2, 7])
@pytest.mark.parametrize("name", shardable())
def test_in_parts_the_ranking_is_that_of_the_whole_bit_for_bit(
    make_context: ContextMaker, name: str, n_shards: int
) -> None:
    context = large(make_context)
    wanted = get_strategy(name).rank(fresh(context), 150)
    assert_same(rank_in_shards(name, fresh(context), 150, n_shards), wanted)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy", "power_margin", "consensus_entropy", "bald"])
@pytest.mark.parametrize(("n_classes", "dtype"), [(1, np.float32), (2, np.float16), (10, np.float16), (53, np.float64)])
def test_scores_do_not_hang_on_where_a_part_begins(
    make_context: ContextMaker, name: str, n_classes: int, dtype: type
) -> None:
    context = large(make_context, n_classes, dtype)
    wanted = get_strategy(name).rank(fresh(context), N)
    assert_same(rank_in_shards(name, fresh(context), N, 7), wanted)


@pytest.mark.parametrize("name", ["typiclust", "herding", "probcover", "coreset", "kmeans", "random"])
def test_without_a_model_and_beyond_the_samples(make_context: ContextMaker, name: str) -> None:
    context = replace(large(make_context), probabilities=None, committee=None, weights=None, labeled=np.empty(0, int))
    context = replace(context, y=np.empty(0, int))
    size = 4_500 if name in ("herding", "probcover", "random") else 40  # beyond what they cover the pool with
    assert_same(rank_in_shards(name, fresh(context), size, 3), get_strategy(name).rank(fresh(context), size))


def test_parts_may_come_in_any_order_and_may_be_empty(make_context: ContextMaker) -> None:
    context = large(make_context, committee=None, weights=None)
    assert context.probabilities is not None
    cuts = [slice(0, 10), slice(10, 10), slice(10, 4_000), slice(4_000, None)]
    shards = [
        rank_shard(
            "power_margin",
            replace(fresh(context), candidates=context.candidates[cut], probabilities=context.probabilities[cut]),
            30,
        )
        for cut in cuts
    ]
    wanted = get_strategy("power_margin").rank(fresh(context), 30)
    assert_same(merge_shards(fresh(context), shards[::-1]), wanted)
    assert all(len(shard.rows) <= 30 for shard in shards), "no more is sent than can be in the ranking"


@pytest.mark.parametrize("name", sorted(set(strategy_names()) - set(shardable())))
def test_the_others_are_refused_and_told_why(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(NotShardable, match=f"'{name}' cannot be ranked in parts: its first look hangs on all"):
        rank_in_shards(name, large(make_context), 10, 2)


@pytest.mark.parametrize("name", sorted(BY_COMMITTEE))
def test_committees_that_train_while_they_rank_are_refused(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(NotShardable, match="hand one in with the query context"):
        rank_in_shards(name, large(make_context, committee=None), 10, 2)


def test_what_does_not_go_together_is_refused(make_context: ContextMaker) -> None:
    context = large(make_context)
    first = rank_shard("margin", fresh(context), 10)
    with pytest.raises(UnknownStrategy):
        rank_shard("best", context, 10)
    with pytest.raises(MissingInput):
        rank_shard("margin", replace(context, probabilities=None), 10)
    with pytest.raises(InvalidInput, match="none to merge"):
        merge_shards(context, [])
    with pytest.raises(InvalidInput, match="generator state"):
        merge_shards(replace(context, rng=np.random.default_rng(6)), [first])
    for other in (replace(first, size=11), replace(first, strategy="entropy"), replace(first, seed=0)):
        with pytest.raises(InvalidInput, match="differ"):
            merge_shards(fresh(context), [first, other])
    with pytest.raises(InvalidInput, match="some have"):
        merge_shards(fresh(context), [first, replace(first, weights=None)])
    with pytest.raises(InvalidInput, match="named twice"):
        merge_shards(fresh(context), [first, first])
    with pytest.raises(InvalidInput, match="n_shards"):
        rank_in_shards("margin", context, 10, 0)
