"""Classifiers of scikit-learn by an operator's entry: built, fitted, calibrated, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.errors import NotFitted, UnusableClassifier
from models.registered import RegisteredMember, build_classifier
from models.regularisation import UNSEEN_PROBABILITY

RNG = np.random.default_rng(0)
Y = np.arange(120) % 3
X = (np.eye(3, 4)[Y] * 3 + RNG.normal(size=(120, 4))).astype(np.float32)
SCALING = (np.zeros(4, np.float32), np.ones(4, np.float32))
FOREST = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 20}}
SVC = {"class": "sklearn.svm.SVC"}
PIPELINE = {
    "class": "sklearn.pipeline.Pipeline",
    "params": {
        "steps": [
            ["scale", {"class": "sklearn.preprocessing.StandardScaler"}],
            ["near", {"class": "sklearn.neighbors.KNeighborsClassifier", "params": {"n_neighbors": 3}}],
        ]
    },
}
BAG = {
    "class": "sklearn.ensemble.BaggingClassifier",
    "params": {"n_estimators": 5, "estimator": {"class": "sklearn.tree.DecisionTreeClassifier"}},
}


def member(entry: dict[str, Any], y: np.ndarray = Y, n: int = 60, n_classes: int = 3, **more) -> RegisteredMember:
    def build(seed: int) -> Any:
        return build_classifier("sklearn:it", entry, seed)

    return RegisteredMember("sklearn:it", build, X, SCALING, np.arange(n), y[:n], n_classes, seed=7, **more)


@pytest.mark.parametrize("entry", [FOREST, SVC, PIPELINE, BAG])
def test_any_classifier_learns_and_answers_with_probabilities(entry: dict[str, Any]) -> None:
    one = member(entry, n_classes=5)
    one.fit()
    P = one.predict_proba(np.arange(60, 120))
    assert (P.shape, P.dtype) == ((60, 5), np.float32)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(P[:, 3:], UNSEEN_PROBABILITY, rtol=1e-3)
    assert np.mean(P.argmax(axis=1) == Y[60:]) > 0.85
    np.testing.assert_array_equal(one.of_items(X[60:]), P)


def test_the_same_labels_and_seed_give_the_same_answers_bit_for_bit() -> None:
    first, second = member(BAG), member(BAG)
    for one in (first, second):
        one.fit()
    np.testing.assert_array_equal(first.predict_proba(np.arange(120)), second.predict_proba(np.arange(120)))


def test_open_seeds_are_set_and_those_of_the_operator_stay() -> None:
    assert build_classifier("it", FOREST, 5).random_state == 5
    assert build_classifier("it", {**FOREST, "params": {"random_state": 3}}, 5).random_state == 3
    assert build_classifier("it", BAG, 5).estimator.random_state == 5


def test_two_classes_of_a_decision_function_are_told_apart() -> None:
    one = member({"class": "sklearn.svm.LinearSVC"}, (Y == 1).astype(np.int64), n_classes=2)
    one.fit()
    P = one.predict_proba(np.arange(60, 120))
    assert np.mean(P.argmax(axis=1) == (Y[60:] == 1)) > 0.85


def test_a_fold_is_answered_without_its_labels_and_the_temperature_is_fitted_on_such_answers() -> None:
    nearest = {"class": "sklearn.neighbors.KNeighborsClassifier", "params": {"n_neighbors": 1}}
    noisy = np.where(np.arange(120) % 4 == 0, (Y + 1) % 3, Y)
    one = member(nearest, noisy)
    folds = np.arange(60) % 5
    folds[:10] = -1
    P = one.cross_fitted(folds)
    assert np.isnan(P[:10]).all()
    assert np.mean(P[10:].argmax(axis=1) == noisy[10:60]) < 0.8  # its own label would have made each row right
    assert one.settings[0] > 2  # one neighbour is sure of itself, and a quarter of the labels are wrong
    assert member(nearest, noisy, settings=(2.5,)).settings == (2.5,)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"class": "os.system"}, "dotted path in scikit-learn"),
        ({"class": "sklearn_evil.Classifier"}, "dotted path in scikit-learn"),
        ({}, "dotted path in scikit-learn"),
        ({"class": "sklearn.ensemble.NoForest"}, "there is no sklearn.ensemble.NoForest"),
        ({"class": "sklearn.utils.os.system"}, "there is no"),
        ({"class": "sklearn.datasets.load_files"}, "is not an estimator"),
        ({"class": "sklearn.linear_model.LinearRegression"}, "is not a classifier"),
        (
            {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"trees": 3}},
            "does not take these parameters",
        ),
        ({**BAG, "params": {"estimator": {"class": "subprocess.Popen"}}}, "dotted path in scikit-learn"),
    ],
)
def test_what_is_no_classifier_of_scikit_learn_is_refused(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(UnusableClassifier, match=says):
        build_classifier("sklearn:it", entry, 0)


def test_labels_that_it_cannot_be_trained_on_are_a_clear_error() -> None:
    with pytest.raises(UnusableClassifier, match="one class only"):
        member(FOREST, np.zeros(120, np.int64)).fit()
    bad = {"class": "sklearn.neighbors.KNeighborsClassifier", "params": {"n_neighbors": -1}}
    with pytest.raises(UnusableClassifier, match="cannot be trained on these labels"):
        member(bad).fit()
    with pytest.raises(NotFitted):
        member(FOREST).predict_proba(np.arange(3))
