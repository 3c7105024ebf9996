"""Prototypes: by names alone, from the first label on, and with many."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput, NotFitted
from models.prototypes import NamePrototypes, PrototypeMember
from models.regularisation import UNSEEN_PROBABILITY

N_CLASSES, D = 4, 8
RNG = np.random.default_rng(0)
CENTRES = np.eye(N_CLASSES, D) * 2
Y = np.arange(200) % N_CLASSES
X = (CENTRES[Y] + RNG.normal(scale=0.5, size=(200, D)) + 1.0).astype(np.float32)
# Phrases point where their class lies, each a little off, and all of them away from the items.
PHRASES = (CENTRES[:, None] + RNG.normal(scale=0.4, size=(N_CLASSES, 3, D)) - 5.0).astype(np.float32)


def member(n: int, phrases: np.ndarray = PHRASES, **more) -> PrototypeMember:
    names = NamePrototypes(X, phrases)
    return PrototypeMember(names, X, np.arange(n), Y[:n], rng=np.random.default_rng(0), **more)


def right(P: np.ndarray, y: np.ndarray = Y) -> float:
    return float(np.mean(P.argmax(axis=1) == y))


def test_names_alone_tell_the_classes_apart() -> None:
    P = NamePrototypes(X, PHRASES).zero_shot(X)
    assert (P.shape, P.dtype) == ((200, N_CLASSES), np.float32)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-5)
    assert right(P) > 0.8


def test_several_phrasings_are_averaged_and_none_counts_more_for_being_longer() -> None:
    scaled = PHRASES * np.array([1.0, 10.0, 0.1])[None, :, None]
    np.testing.assert_allclose(NamePrototypes(X, scaled).directions, NamePrototypes(X, PHRASES).directions, atol=1e-5)
    single = NamePrototypes(X, PHRASES[:, :1]).zero_shot(X)
    assert right(NamePrototypes(X, PHRASES).zero_shot(X)) >= right(single)


def test_one_label_is_enough_and_the_classes_without_labels_are_known_by_name() -> None:
    one = member(1)
    one.fit()
    P = one.predict_proba(np.arange(200))
    assert right(P) > 0.8
    assert set(P.argmax(axis=1)) == set(range(N_CLASSES))


def test_labels_overrule_names_that_are_wrong() -> None:
    swapped = PHRASES[[1, 0, 3, 2]]
    assert right(NamePrototypes(X, swapped).zero_shot(X)) < 0.2
    many = member(80, swapped)
    many.fit()
    assert many.settings[0] == 0.3
    assert right(many.predict_proba(np.arange(80, 200)), Y[80:]) > 0.9


def test_a_class_with_neither_name_nor_label_stays_at_the_floor_and_one_with_a_label_does_not() -> None:
    phrases = PHRASES.copy()
    phrases[[2, 3]] = [np.zeros((3, D)), np.full((3, D), np.nan)]
    some = member(3, phrases)  # classes 0, 1 and 2
    some.fit()
    P = some.predict_proba(np.arange(200))
    np.testing.assert_allclose(P[:, 3], UNSEEN_PROBABILITY, rtol=1e-3)
    assert right(P[Y != 3], Y[Y != 3]) > 0.7
    nobody = NamePrototypes(X, np.zeros_like(PHRASES))
    assert not nobody.readable.any()
    np.testing.assert_allclose(nobody.zero_shot(X), 0.25)


def test_a_fold_is_answered_without_its_labels() -> None:
    folds = np.arange(40) % 5
    folds[:5] = -1
    settings = (1.0, 1.0)
    P = member(40, settings=settings).cross_fitted(folds)
    assert np.isnan(P[:5]).all()
    changed = PrototypeMember(
        NamePrototypes(X, PHRASES), X, np.arange(40), np.where(folds == 0, 0, Y[:40]),
        rng=np.random.default_rng(0), settings=settings,
    ).cross_fitted(folds)  # fmt: skip
    np.testing.assert_array_equal(P[folds == 0], changed[folds == 0])
    assert not np.allclose(P[folds == 1], changed[folds == 1])


def test_its_probabilities_are_honest_once_labels_say_how_sharp_to_be() -> None:
    many = member(100)
    many.fit()
    P = many.predict_proba(np.arange(100, 200))
    assert abs(float(P.max(axis=1).mean()) - right(P, Y[100:])) < 0.1


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFitted, match="not fitted yet"):
        member(4).predict_proba(np.arange(4))
    with pytest.raises(BadInput, match="do not go with"):
        NamePrototypes(X, PHRASES[:, :, :3])
