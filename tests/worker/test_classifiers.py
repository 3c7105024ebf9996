"""Entries of the operator's registry become classifiers: scikit-learn's, and modAL's learners around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.errors import UnusableClassifier
from worker.classifiers import make_build

TREE = {"class": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 2}}
BAYES = {"class": "sklearn.naive_bayes.GaussianNB"}
Y = np.arange(60) % 3 + 1
X = (np.eye(4, 4)[Y] * 3 + np.random.default_rng(0).normal(size=(60, 4))).astype(np.float32)


def learner(entry: Any) -> dict[str, Any]:
    return {"class": "modAL.models.ActiveLearner", "params": {"estimator": entry}}


def committee(*entries: Any) -> dict[str, Any]:
    return {"class": "modAL.models.Committee", "params": {"learners": list(entries)}}


def test_a_learner_answers_as_its_estimator_does() -> None:
    fitted = make_build("sklearn:it", learner(BAYES))(3).fit(X, Y)
    alone = make_build("sklearn:it", BAYES)(3).fit(X, Y)
    assert fitted.classes_.tolist() == [1, 2, 3]
    np.testing.assert_allclose(fitted.predict_proba(X), alone.predict_proba(X))


def test_a_committee_answers_with_the_mean_of_its_learners() -> None:
    fitted = make_build("sklearn:it", committee(TREE, learner(BAYES)))(3).fit(X, Y)
    each = [make_build("sklearn:it", entry)(3).fit(X, Y).predict_proba(X) for entry in (TREE, BAYES)]
    assert fitted.classes_.tolist() == [1, 2, 3]
    np.testing.assert_allclose(fitted.predict_proba(X), np.mean(each, axis=0), atol=1e-12)


def test_the_same_seed_gives_the_same_committee_and_its_members_have_seeds_of_their_own() -> None:
    forest = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 3}}
    build = make_build("sklearn:it", committee(forest, forest))
    first, again, other = (build(seed).fit(X, Y).predict_proba(X) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    one, two = build(5)._estimators
    assert (one.random_state, two.random_state) == (5, 6)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (learner(None), "made of entries"),
        (committee(), "takes learners"),
        ({"class": "modAL.models.Committee", "params": {"learners": "all"}}, "takes learners"),
        (learner({"class": "os.system"}), "dotted path in scikit-learn"),
        (learner({"class": "sklearn.svm.LinearSVC"}), "asks its estimators for probabilities"),
        (
            {**learner(BAYES), "params": {"estimator": BAYES, "query_strategy": "os.system"}},
            "not \\['query_strategy'\\]",
        ),
        ({"class": "modAL.models.Regressor"}, "dotted path in scikit-learn"),
    ],
)
def test_a_bad_entry_is_found_at_once(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(UnusableClassifier, match=says):
        make_build("sklearn:it", entry)


def test_what_modal_does_not_take_is_a_value_error() -> None:
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        make_build("sklearn:it", learner(BAYES))(0).fit(bad, Y)
