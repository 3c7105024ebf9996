"""Looking for classes without labels: who is looked for, how much of a ranking that takes, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampler.class_names import ClassNames, column_means, names_trust
from sampler.groups import rank_groups
from sampler.query import QueryContext
from sampler.strategies import get_strategy
from sampler.strategies.unseen import _places

Maker = Callable[..., QueryContext]
CALLED = ("ant", "bee", "cat", "dog", "eel", "fox")
FOX = np.arange(300, 312)
"""The rows of the rare class."""
VECTORS = np.eye(6, 8)


def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(300) % 5, np.full(12, 5)])
    return (np.eye(6, 8)[y] + rng.normal(scale=0.15, size=(312, 8))).astype(np.float32)


X = features()


@pytest.fixture
def make() -> Maker:
    """Five classes with four labels each; the sixth has none, and twelve rows."""

    def make(labeled: np.ndarray | None = None, vectors: np.ndarray = VECTORS, **changes: Any) -> QueryContext:
        labeled = np.arange(20) if labeled is None else labeled
        fields: dict[str, Any] = {
            "features": X,
            "candidates": np.setdiff1d(np.arange(312), labeled),
            "labeled": labeled,
            "y": labeled % 5,
            "n_classes": 6,
            "rng": np.random.default_rng(0),
            "batch_size": 8,
            "class_names": CALLED,
            "names": ClassNames(X, vectors, column_means(X)),
        }
        return QueryContext(**(fields | changes))

    return make


def ranked(context: QueryContext, size: int = 40, name: str = "auto") -> list[int]:
    return get_strategy(name).rank(replace(context, rng=np.random.default_rng(0)), size).rows.tolist()


def test_the_class_without_labels_is_asked_for_once_and_says_so(make: Maker) -> None:
    ranking = get_strategy("auto").rank(make(), 40)
    assert ranking.rows[0] in FOX
    assert ranking.reasons[0] == "may be the first of 'fox'"
    assert ranking.scores[0] > 0.9
    assert sum(reason.startswith("may be the first") for reason in ranking.reasons) == 1
    nameless = get_strategy("auto").rank(make(class_names=None), 1)
    assert nameless.reasons == ["may be the first of a class without labels"]


def test_what_is_looked_for_counts_as_pending_for_the_rest(make: Maker) -> None:
    context = make()
    rows = ranked(context)
    rest = replace(context, names=None, pending=np.array(rows[:1]))
    assert rows[1:] == ranked(rest, 39)


@pytest.mark.parametrize("change", ["no names", "all seen", "names swapped", "unreadable"])
def test_without_names_to_trust_or_a_class_to_find_all_is_as_it_was(make: Maker, change: str) -> None:
    context = {
        "no names": make(names=None),
        "all seen": make(labeled=np.concatenate([np.arange(20), FOX[:2]]), y=np.append(np.arange(20) % 5, [5, 5])),
        "names swapped": make(vectors=VECTORS[[1, 2, 3, 4, 5, 0]]),
        "unreadable": make(vectors=VECTORS * (np.arange(6) < 5)[:, None]),
    }[change]
    assert ranked(context) == ranked(replace(context, names=None))


def test_before_there_are_labels_names_are_trusted_that_lie_among_the_items(make: Maker) -> None:
    nothing = np.empty(0, np.int64)
    ranking = get_strategy("auto").rank(make(labeled=nothing), 8)
    said = [reason for reason in ranking.reasons if "first of" in reason]
    assert len(set(said)) == 2, "a quarter of the batch, for nobody knows yet whether they are right"
    assert set(said) < {f"may be the first of '{name}'" for name in CALLED}
    far = np.zeros((6, 8))
    far[:, 6:] = np.random.default_rng(1).normal(size=(6, 2))
    context = make(labeled=nothing, vectors=far)
    assert ranked(context) == ranked(replace(context, names=None))


def test_a_first_batch_of_two_labels_a_class_covers_them_by_itself(make: Maker) -> None:
    nothing = np.empty(0, np.int64)
    context = make(labeled=nothing, batch_size=12)
    assert ranked(context) == ranked(replace(context, names=None))
    begun = replace(context, pending=np.array([0]))
    assert ranked(begun) != ranked(replace(begun, names=None)), "from then on what is missing is looked for"


def test_no_more_than_a_share_of_each_prefix_looks_for_classes(make: Maker) -> None:
    begun = np.array([0, 1, 2, 3, 5, 6, 7, 8])  # of four classes: labels tell whether names do
    for labeled, batch_size, expected in (
        (begun, 8, [1, 2, 2, 2, 2, 2, 2, 2]),
        (begun, 1, [1, 1, 1, 1, 1, 1, 1, 1]),
        (begun[:0], 8, [1, 1, 1, 1, 2, 2, 2, 2]),
        (begun[:0], 4, [1, 1, 1, 1, 1, 1, 1, 1]),
    ):
        ranking = get_strategy("auto").rank(make(labeled=labeled, batch_size=batch_size), 40)
        looks = np.cumsum([reason.startswith("may be the first") for reason in ranking.reasons])
        assert looks[:8].tolist() == expected
        assert looks[-1] == expected[-1], "of the one batch that people label before the next ranking"


def test_what_is_sought_and_what_covers_take_turns_by_the_share() -> None:
    turns = _places(6, 10, 8, 0.75)
    assert np.cumsum(turns < 6).tolist() == [1, 2, 3, 3, 4, 5, 6, 6]
    assert turns[turns < 6].tolist() == [0, 1, 2, 3, 4, 5]
    assert turns[turns >= 6].tolist() == [6, 7]
    assert _places(2, 1, 8, 0.25).tolist() == [0, 2, 1]


def test_names_that_are_wrong_more_often_than_not_are_not_asked_by(make: Maker) -> None:
    labeled = np.arange(20)
    y = labeled % 5
    right = make(labeled=labeled, y=y)
    assert ranked(right) != ranked(replace(right, names=None))
    doubtful = make(labeled=labeled, y=np.where(labeled < 11, (y + 1) % 5, y))
    assert names_trust(doubtful.names.shares(labeled), doubtful.y) < 0.5
    assert ranked(doubtful) == ranked(replace(doubtful, names=None))


def test_a_class_is_not_asked_for_twice_while_its_item_is_in_somebodys_hands(make: Maker) -> None:
    first = ranked(make(), 1)
    context = make(pending=np.array(first))
    assert ranked(context) == ranked(replace(context, names=None))


def test_near_duplicates_of_what_is_looked_for_come_behind(make: Maker) -> None:
    doubled = np.concatenate([X, X])
    names = ClassNames(doubled, VECTORS, column_means(doubled))
    context = make(features=doubled, candidates=np.arange(20, 624), names=names)
    rows = rank_groups(get_strategy("auto"), context, 300, np.arange(624) % 312).rows
    assert rows[0] in FOX
    assert len(set((rows[:292] % 312).tolist())) == 292


def test_hope_fades_with_each_label_that_the_name_should_have_brought(make: Maker) -> None:
    like_fox = np.concatenate([np.arange(20), FOX[:10]])
    y = np.append(np.arange(20) % 5, np.arange(10) % 5)
    assert ranked(make(labeled=like_fox[:24], y=y[:24]), 1)[0] in FOX
    context = make(labeled=like_fox, y=y)
    assert ranked(context) == ranked(replace(context, names=None))


def test_a_short_ranking_is_the_start_of_a_long_one_and_all_come_once(make: Maker) -> None:
    for context in (make(), make(labeled=np.empty(0, np.int64))):
        long = ranked(context, 400)
        assert sorted(long) == sorted(context.candidates.tolist())
        for size in (1, 2, 7, 30):
            assert ranked(context, size) == long[:size]


def test_the_order_of_rows_and_of_classes_does_not_matter(make: Maker) -> None:
    for labeled in (np.arange(20), np.empty(0, np.int64)):
        context = make(labeled=labeled)
        shuffled = replace(context, candidates=np.random.default_rng(2).permutation(context.candidates))
        assert ranked(shuffled) == ranked(context)
        order = np.array([3, 5, 0, 1, 4, 2])
        numbers = np.argsort(order)
        renamed = make(labeled=labeled, vectors=VECTORS[order], y=numbers[labeled % 5])
        assert ranked(renamed) == ranked(context)


def test_candidates_that_are_all_looked_for(make: Maker) -> None:
    context = make(candidates=FOX[:1])
    assert ranked(context) == FOX[:1].tolist()
    assert ranked(make(candidates=np.empty(0, np.int64))) == []


def test_a_model_ranks_the_rest_with_its_own_probabilities(make: Maker) -> None:
    context = make()
    likely = np.exp(-3.0 * (1.0 - X[context.candidates, :6].astype(np.float64)))
    context = replace(context, probabilities=likely / likely.sum(axis=1, keepdims=True))
    rows = ranked(context)
    assert rows[0] in FOX
    kept = context.candidates != rows[0]
    assert context.probabilities is not None
    rest = replace(
        context,
        names=None,
        candidates=context.candidates[kept],
        probabilities=context.probabilities[kept],
        pending=np.array(rows[:1]),
    )
    assert rows[1:] == ranked(rest, 39)
