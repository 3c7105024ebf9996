"""Our strategies inside modAL, and modAL's inside a project."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sampler.errors import InvalidInput, MissingInput
from sampler.modal import committee_of, learner_class, load_modal, modal_module
from sampler.modal_learners import as_modal_query, from_modal_learner, from_modal_query
from sampler.scores import margin_scores
from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conftest import ContextMaker


def labelled(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n) % 3
    X = (np.eye(3)[y] * 2.0 + np.random.default_rng(0).normal(scale=0.4, size=(n, 3))).astype(np.float32)
    return X, y


@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("theirs", [True, False])
def test_our_strategies_serve_a_modal_learner(name: str, theirs: bool) -> None:
    X, y = labelled()
    query = as_modal_query(get_strategy(name), np.random.default_rng(0))
    kind = load_modal().ActiveLearner if theirs else learner_class()
    learner = kind(estimator=LogisticRegression(), query_strategy=query, X_training=X[:15], y_training=y[:15])
    positions, items = learner.query(X[15:], n_instances=4)
    assert len(set(np.asarray(positions).tolist())) == 4
    np.testing.assert_array_equal(items, X[15:][positions])


@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("theirs", [True, False])
def test_our_strategies_serve_a_modal_committee(name: str, theirs: bool) -> None:
    X, y = labelled()
    query = as_modal_query(get_strategy(name), np.random.default_rng(0))
    names = np.array(["ham", "spam", "other"])[y]
    panel = committee_of(
        [(LogisticRegression(), X[:15], names[:15]), (LogisticRegression(C=0.01), X[3:18], names[3:18])]
    )
    if theirs:
        panel = load_modal().Committee(list(panel.learner_list), query_strategy=query)
    else:
        panel.query_strategy = query
    positions, items = panel.query(X[20:], n_instances=4)
    assert len(set(np.asarray(positions).tolist())) == 4
    np.testing.assert_array_equal(items, X[20:][positions])


def test_margin_inside_modal_is_the_margin_of_the_learner() -> None:
    X, y = labelled()
    query = as_modal_query(get_strategy("margin"), np.random.default_rng(0))
    learner = learner_class()(LogisticRegression(), query_strategy=query, X_training=X[:15], y_training=y[:15])
    positions, _, scores = learner.query(X[15:], n_instances=5, return_metrics=True)
    expected = margin_scores(learner.predict_proba(X[15:]))
    np.testing.assert_array_equal(positions, np.argsort(-expected)[:5])
    np.testing.assert_allclose(scores, expected[positions])


@pytest.mark.parametrize("convert", [csr_matrix, pd.DataFrame, np.ndarray.tolist])
def test_pools_of_any_kind_are_ranked_alike(convert) -> None:
    X, y = labelled()
    rankings = []
    for pool in (X[15:], convert(X[15:])):
        query = as_modal_query(get_strategy("clustered_margin"), np.random.default_rng(0))
        learner = learner_class()(LogisticRegression(), query_strategy=query, X_training=X[:15], y_training=y[:15])
        rankings.append(query(learner, pool, n_instances=6)[0].tolist())
    assert rankings[0] == rankings[1]


def test_distances_are_those_of_a_pipeline_where_the_learner_says_so() -> None:
    X = np.array([[0, 0], [1000, 0], [0, 1]], np.float32)
    wide = np.array([[-1e5, 0], [1e5, 0]], np.float32)
    model = make_pipeline(StandardScaler().set_output(transform="default"), LogisticRegression())
    for on_transformed, first in ((False, 1), (True, 2)):
        query = as_modal_query(get_strategy("coreset"), np.random.default_rng(0))
        known = np.concatenate([wide, [[0, -0.1], [0, 0.1]]]).astype(np.float32)
        learner = learner_class()(
            model,
            query_strategy=query,
            X_training=known,
            y_training=np.array([0, 1, 0, 1]),
            on_transformed=on_transformed,
        )
        assert learner.query(X)[0].tolist() == [first]


def test_a_model_without_probabilities_serves_what_needs_none_and_is_told_of_the_rest() -> None:
    X, y = labelled()
    for name, needs in (("coreset", False), ("margin", True)):
        query = as_modal_query(get_strategy(name), np.random.default_rng(0))
        learner = learner_class()(LinearSVC(), query_strategy=query, X_training=X[:15], y_training=y[:15])
        if needs:
            with pytest.raises(MissingInput, match="'margin' needs probabilities"):
                learner.query(X[15:])
        else:
            assert len(learner.query(X[15:], n_instances=3)[0]) == 3


def test_an_unfitted_learner_begins_cold() -> None:
    X, _ = labelled()
    query = as_modal_query(get_strategy("auto"), np.random.default_rng(0))
    learner = learner_class()(LogisticRegression(), query_strategy=query)
    assert len(learner.query(X, n_instances=4)[0]) == 4


def test_regressors_and_several_labels_an_item_are_refused() -> None:
    X, y = labelled()
    query = as_modal_query(get_strategy("auto"), np.random.default_rng(0))
    regressor = load_modal().ActiveLearner(LinearRegression(), query_strategy=query, X_training=X, y_training=y * 1.0)
    with pytest.raises(InvalidInput, match=r"LinearRegression is a regressor.*give a classifier"):
        regressor.query(X)
    panel = load_modal().CommitteeRegressor if hasattr(load_modal(), "CommitteeRegressor") else None
    assert panel is not None
    with pytest.raises(InvalidInput, match="is a regressor"):
        panel([regressor], query_strategy=query).query(X)
    with pytest.raises(InvalidInput, match="is a regressor"):
        from_modal_learner("mine", regressor)
    several = learner_class()(LogisticRegression())
    several.y_training = np.eye(3)[y]
    with pytest.raises(InvalidInput, match="more than one column"):
        query(several, X)


def test_a_strategy_of_ones_own_ranks_in_a_project(make_context: ContextMaker) -> None:
    def largest_first(learner, X, n_instances=1):
        assert learner.predict_proba(X).shape == (len(X), 3)
        return np.argsort(-X[:, 0])[:n_instances]

    strategy = from_modal_query("mine", largest_first, learner_class()(LogisticRegression()))
    context = make_context()
    ranking = strategy.rank(context, 10)
    column = context.features[:, 0].astype(float)
    assert ranking.rows.tolist() == sorted(context.candidates, key=lambda row: -column[row])[:10]
    assert set(ranking.reasons) == {"chosen by modAL"}


def test_a_learner_is_left_as_it_was(make_context: ContextMaker) -> None:
    X, y = labelled()
    learner = learner_class()(LogisticRegression(), X_training=X, y_training=y)
    before = learner.estimator.coef_.copy()
    from_modal_learner("mine", learner).rank(make_context(), 10)
    np.testing.assert_array_equal(learner.estimator.coef_, before)
    assert learner.X_training.shape == (60, 3)


@pytest.mark.parametrize(
    ("name", "module", "query"),
    [
        ("modal:margin_sampling", "uncertainty", "margin_sampling"),
        ("modal:entropy_sampling", "uncertainty", "entropy_sampling"),
        ("modal:uncertainty_sampling", "uncertainty", "uncertainty_sampling"),
    ],
)
def test_modals_top_k_by_name_is_that_of_modal_itself(
    make_context: ContextMaker, name: str, module: str, query: str
) -> None:
    context = make_context()

    class Model:
        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            assert context.probabilities is not None
            return context.probabilities

    picked, _ = getattr(modal_module(module), query)(Model(), context.features[context.candidates], n_instances=9)
    assert set(get_strategy(name).rank(context, 9).rows.tolist()) == set(context.candidates[picked].tolist())


def test_modals_disagreement_by_name_is_that_of_modals_committee(make_context: ContextMaker) -> None:
    rng = np.random.default_rng(0)
    members = rng.dirichlet(np.ones(3), (5, 108))
    context = make_context(committee=members)
    consensus = members.mean(axis=0)
    divergence = (members * np.log(members / consensus)).sum(axis=2).max(axis=0)
    ranking = get_strategy("modal:max_disagreement_sampling").rank(context, 20)
    np.testing.assert_array_equal(ranking.rows, context.candidates[np.argsort(-divergence)[:20]])
    np.testing.assert_allclose(ranking.scores, np.sort(divergence)[::-1][:20])


def test_modals_density_by_name_is_that_of_the_formula(make_context: ContextMaker) -> None:
    context = make_context()
    X = context.features[context.candidates].astype(np.float64)
    distances = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
    density = (1.0 / (1.0 + distances)).mean(axis=1)
    ranking = get_strategy("modal:information_density").rank(context, 12)
    np.testing.assert_array_equal(ranking.rows, context.candidates[np.argsort(-density)[:12]])
