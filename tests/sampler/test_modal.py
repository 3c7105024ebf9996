"""modAL on today's scikit-learn, both ways, and without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sampler.committee import bootstrap, fit_committee
from sampler.errors import InvalidInput
from sampler.linear_committee import linear_committee_votes, linear_members
from sampler.modal import committee_class, committee_of, learner_class, load_modal, modal_module


def labelled(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n) % 3
    X = (np.eye(3)[y] * 2.0 + np.random.default_rng(0).normal(scale=0.4, size=(n, 3))).astype(np.float32)
    return X, y


def run_apart(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_the_sampler_loads_neither_torch_nor_modal_nor_scikit_learn() -> None:
    code = (
        "import sys, sampler.strategies, sampler.modal\n"
        "print([m for m in ('torch', 'modAL', 'sklearn', 'pandas') if m in sys.modules])"
    )
    assert run_apart(code) == "[]"


def test_modal_is_loaded_without_torch_and_torch_can_be_loaded_afterwards() -> None:
    code = (
        "import sys\nfrom sampler.modal import load_modal\nload_modal()\n"
        "print('torch' in sys.modules, len([f for f in sys.meta_path if 'sampler' in type(f).__module__]))\n"
        "import importlib.util\nprint(importlib.util.find_spec('torch') is not None)"
    )
    assert run_apart(code).split() == ["False", "0", "True"]


def test_teach_works_on_todays_scikit_learn_where_modals_own_does_not() -> None:
    X, y = labelled()
    broken = load_modal().ActiveLearner(LogisticRegression(), X_training=X[:30], y_training=y[:30])
    with pytest.raises(TypeError, match="force_all_finite"):
        broken.teach(X[30:], y[30:])
    learner = learner_class()(estimator=LogisticRegression(), X_training=X[:30], y_training=y[:30])
    learner.teach(X[30:], y[30:])
    assert learner.X_training.shape == (60, 3)
    assert learner.score(X, y) > 0.9


def test_a_learner_refuses_nan() -> None:
    X, y = labelled()
    X[4, 1] = np.nan
    with pytest.raises(InvalidInput, match="NaN"):
        learner_class()(estimator=LogisticRegression()).fit(X, y)


def test_a_committee_can_be_taught() -> None:
    X, y = labelled()
    committee = committee_of([(LogisticRegression(), X[:30], y[:30]), (LogisticRegression(C=0.1), X[:30], y[:30])])
    committee.teach(X[30:], y[30:])
    assert [len(learner.X_training) for learner in committee] == [60, 60]
    assert committee.vote(X).shape == (60, 2)


def test_a_fitted_committee_is_modals_and_votes_in_the_projects_classes() -> None:
    X, y = labelled()
    classes = np.array([1, 4, 6])[y]
    committee = fit_committee(X, np.arange(40), classes[:40], np.random.default_rng(0))
    assert isinstance(committee, load_modal().Committee)
    votes = committee.vote(X[40:])
    assert votes.shape == (20, 5)
    assert (votes == classes[40:, None]).mean() > 0.9


def test_a_committee_hangs_on_its_generator_and_not_on_numpys_global_state() -> None:
    X, y = labelled()
    noisy = np.random.default_rng(3).permutation(y)
    votes = [fit_committee(X, np.arange(60), noisy, np.random.default_rng(seed)).vote(X) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(votes[0], votes[1])
    assert (votes[0] != votes[2]).any()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_product_gives_the_votes_of_modals_members(n_classes: int) -> None:
    X, y = labelled(600)
    y = np.random.default_rng(3).permutation(y) % n_classes
    committee = fit_committee(X, np.arange(200), y[:200], np.random.default_rng(0))
    rows = np.arange(600)[::-3]
    votes = linear_committee_votes(linear_members(committee), X.astype(np.float16), rows)
    assert len(np.unique(votes)) == n_classes
    np.testing.assert_array_equal(votes, committee.vote(X.astype(np.float16)[rows].astype(np.float32)))
    with pytest.raises(InvalidInput, match="does not go with a committee over 3 columns"):
        linear_committee_votes(linear_members(committee), X[:, :2], rows)
    X[rows[7], 1] = np.nan
    with pytest.raises(InvalidInput, match=f"row {rows[7]} holds NaN"):
        linear_committee_votes(linear_members(committee), X, rows)


def test_members_see_every_class_however_rare() -> None:
    y = np.r_[np.zeros(50, np.int64), 1]
    for seed in range(20):
        drawn = bootstrap(y, np.random.default_rng(seed))
        assert drawn.shape == (51,)
        assert set(y[drawn].tolist()) == {0, 1}


def test_a_committee_of_one_class_is_refused() -> None:
    X, _ = labelled()
    with pytest.raises(InvalidInput, match="two classes"):
        fit_committee(X, np.arange(5), np.zeros(5, np.int64), np.random.default_rng(0))


def test_a_strategy_that_returns_two_indices_keeps_both_where_modals_own_loses_one() -> None:
    X, y = labelled()

    def two(learner: object, X_pool: np.ndarray) -> np.ndarray:
        return np.array([3, 7])

    theirs = load_modal().ActiveLearner(LogisticRegression(), query_strategy=two, X_training=X, y_training=y)
    assert theirs.query(X)[0] == 3
    for ours in (
        learner_class()(LogisticRegression(), query_strategy=two, X_training=X, y_training=y),
        committee_class()([learner_class()(LogisticRegression(), X_training=X, y_training=y)], query_strategy=two),
    ):
        positions, items = ours.query(X)
        assert positions.tolist() == [3, 7]
        np.testing.assert_array_equal(items, X[[3, 7]])


def test_a_strategy_that_fails_is_called_once_and_says_why() -> None:
    X, y = labelled()
    calls = []

    def failing(learner: object, X_pool: np.ndarray) -> np.ndarray:
        calls.append(1)
        raise ZeroDivisionError

    theirs = load_modal().ActiveLearner(LogisticRegression(), query_strategy=failing, X_training=X, y_training=y)
    ours = learner_class()(LogisticRegression(), query_strategy=failing, X_training=X, y_training=y)
    for learner, times in ((theirs, 2), (ours, 1)):
        calls.clear()
        with pytest.raises(ZeroDivisionError):
            learner.query(X)
        assert len(calls) == times


def test_metrics_come_back_where_they_are_asked_for() -> None:
    X, y = labelled()
    learner = learner_class()(LogisticRegression(), X_training=X[:30], y_training=y[:30])
    positions, _, metrics = learner.query(X[30:], n_instances=3, return_metrics=True)
    np.testing.assert_allclose(metrics, 1.0 - learner.predict_proba(X[30:]).max(axis=1)[positions])


def test_expected_error_loads_although_it_names_what_numpy_has_dropped() -> None:
    code = "import numpy; numpy.float"
    with pytest.raises(subprocess.CalledProcessError):
        run_apart(code)
    assert callable(modal_module("expected_error").expected_error_reduction)
    assert not hasattr(np, "float")


def test_ties_go_by_place_in_modals_own_selection() -> None:
    """What docs/peers.md says of it: the first of many equals, whatever the seed."""
    X, y = labelled()
    same = np.ones((50, 3), np.float32)
    learner = load_modal().ActiveLearner(LogisticRegression(), X_training=X, y_training=y)
    assert {int(learner.query(same)[0][0]) for _ in range(5)} == {0}


def test_modals_binary_minimum_takes_the_surest_when_it_is_told_to_shuffle() -> None:
    """What docs/peers.md says of it: with ``random_tie_break`` it maximises what it should minimise."""

    class Sides:
        def __init__(self, column: int):
            self.column = column

        def decision_function(self, X: np.ndarray) -> np.ndarray:
            return X[:, self.column]

    class Estimator:
        estimators_ = (Sides(0), Sides(1))

    class Learner:
        estimator = Estimator()

    X = np.array([[0.1, 0.2], [5.0, 6.0], [9.0, 9.0]])
    query = modal_module("multilabel").SVM_binary_minimum
    assert query(Learner(), X) == 0
    assert query(Learner(), X, random_tie_break=True)[0].tolist() == [2]
