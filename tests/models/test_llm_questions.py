"""Which rows a language model is asked about, and what it is shown."""

from __future__ import annotations

import numpy as np

from models.llm.questions import MEASURED, choose_examples, choose_measured, choose_shown, choose_unlabelled


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


NONE = np.empty(0, np.int64)


def test_uniformly_drawn_labels_are_asked_about_once_there_are_thirty() -> None:
    labeled, explored = np.arange(100), np.arange(100) < 40
    chosen = choose_measured(labeled, explored, np.arange(10), 20, rng=rng())
    assert len(set(chosen.tolist())) == 20
    assert set(chosen.tolist()) <= set(range(10, 40))
    few = choose_measured(labeled, np.arange(100) < 29, NONE, 60, rng=rng())
    assert (few >= 29).any()


def test_enough_measured_is_enough() -> None:
    labeled = np.arange(300)
    everyone = np.ones(300, bool)
    assert len(choose_measured(labeled, everyone, np.arange(MEASURED - 3), 50, rng=rng())) == 3
    assert len(choose_measured(labeled, everyone, np.arange(MEASURED), 50, rng=rng())) == 0
    assert len(choose_measured(labeled[:5], everyone[:5], labeled[:5], 50, rng=rng())) == 0


PROBABILITIES = np.array([[0.9, 0.1, 0], [0.5, 0.5, 0], [0.5, 0.45, 0.05], [0.4, 0.35, 0.25], [0.6, 0.4, 0]])
CANDIDATES = np.array([10, 11, 12, 13, 14])


def doubted(n: int, groups: np.ndarray | None = None, answered: np.ndarray = NONE) -> list[int]:
    return choose_unlabelled(CANDIDATES, PROBABILITIES, groups, answered, n, doubted=1.0, rng=rng()).tolist()


def test_the_most_doubted_come_first_and_one_of_each_group() -> None:
    assert doubted(3) == [11, 12, 13]
    assert doubted(9, answered=np.array([12])) == [11, 13, 14, 10]
    groups = np.arange(20)
    groups[13] = groups[12] = 11
    assert doubted(9, groups) == [11, 14, 10]
    assert doubted(9, groups, np.array([13])) == [14, 10]
    assert doubted(0) == []


def test_the_others_are_drawn_from_the_whole_pool() -> None:
    candidates, sure = np.arange(1_000), np.tile([0.9, 0.1], (1_000, 1))
    sure[:50] = 0.5
    half = choose_unlabelled(candidates, sure, None, NONE, 40, doubted=0.5, rng=rng())
    assert half[:20].tolist() == list(range(20))
    assert len(set(half.tolist())) == 40
    assert (half[20:] >= 50).sum() >= 15
    assert choose_unlabelled(candidates, sure, None, NONE, 40, doubted=0.5, rng=rng()).tolist() == half.tolist()
    groups = np.zeros(1_000, np.int64)
    assert len(choose_unlabelled(candidates, sure, groups, NONE, 40, doubted=0.5, rng=rng())) == 1


def test_examples_are_of_each_class_in_turn_the_nearest_last() -> None:
    angles = np.deg2rad([0, 10, 20, 30, 40, 50, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labeled, y = np.array([1, 2, 3, 4, 5, 6]), np.array([0, 0, 0, 1, 1, 2])
    assert labeled[choose_examples(features, labeled, y, 0, 3)].tolist() == [6, 4, 1]
    assert labeled[choose_examples(features, labeled, y, 0, 4)].tolist() == [6, 4, 2, 1]
    assert labeled[choose_examples(features, labeled, y, 0, 2)].tolist() == [4, 1]
    assert choose_examples(features, labeled, y, 0, 0).tolist() == []


def test_lengths_of_rows_do_not_make_them_near() -> None:
    features = np.array([[1, 0], [0.1, 0], [50, 50]], np.float32)
    assert choose_examples(features, np.array([1, 2]), np.array([0, 0]), 0, 1).tolist() == [0]


def test_a_row_is_never_shown_beside_itself_nor_are_its_near_duplicates() -> None:
    features = np.eye(5, dtype=np.float32)
    labeled, y = np.arange(5), np.zeros(5, np.int64)
    assert 2 not in choose_examples(features, labeled, y, 2, 9)
    groups = np.array([0, 1, 2, 2, 4])
    assert sorted(choose_examples(features, labeled, y, 2, 9, groups=groups).tolist()) == [0, 1, 4]


def test_a_third_of_each_class_may_be_shown_and_uniformly_drawn_ones_only_where_there_are_no_others() -> None:
    y = np.repeat([0, 1], [9, 2])
    keys = np.arange(11)[::-1]
    explored = np.zeros(11, bool)
    explored[8] = True
    assert choose_shown(y, explored, keys).tolist() == [5, 6, 7, 10]
    explored[:8] = True
    explored[7:9] = False
    assert choose_shown(y, explored, keys).tolist() == [7, 8, 10]
    explored[:] = True
    assert choose_shown(y, explored, keys).tolist() == [6, 7, 8, 10]
