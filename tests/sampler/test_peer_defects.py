"""What docs/peers.md says that peers get wrong: each fails as described, and ours does not."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sampler.imports import load_without_torch
from sampler.modal import learner_class, load_modal, modal_module
from sampler.modal_strategies import Answers
from sampler.strategies import get_strategy
from tests.sampler.conftest import ContextMaker


def labelled() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(60) % 3
    return (np.eye(3)[y] * 2.0 + np.random.default_rng(0).normal(scale=0.4, size=(60, 3))).astype(np.float32), y


@pytest.mark.parametrize("name", ["max_loss", "mean_max_loss"])
def test_multi_label_losses_ask_modals_learner_for_what_it_lacks(name: str) -> None:
    X, y = labelled()
    query, model = getattr(modal_module("multilabel"), name), OneVsRestClassifier(LogisticRegression())
    theirs = load_modal().ActiveLearner(model, query_strategy=query, X_training=X, y_training=np.eye(3, dtype=int)[y])
    with pytest.raises(AttributeError, match="classes_"):
        theirs.query(X)
    ours = learner_class()(model, query_strategy=query, X_training=X, y_training=np.eye(3, dtype=int)[y])
    assert len(ours.query(X, n_instances=3)[0]) == 3


def test_ranked_batch_without_labels_takes_its_first_pick_twice(make_context: ContextMaker) -> None:
    X = np.array([[0.0], [0.01], [0.021]], np.float32)
    p = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    picked, _ = modal_module("batch").uncertainty_batch_sampling(Answers(p), X, n_instances=3)
    assert len(set(picked.tolist())) < 3
    context = make_context(features=X, n_labeled=0, n_classes=2, probabilities=p)
    assert sorted(get_strategy("modal:uncertainty_batch_sampling").rank(context, 3).rows.tolist()) == [0, 1, 2]


def test_a_committee_of_modal_cannot_vote_where_classes_have_names() -> None:
    X, y = labelled()
    names = np.array(["ham", "spam", "other"])[y]
    member = load_modal().ActiveLearner(LogisticRegression(), X_training=X, y_training=names)
    with pytest.raises(ValueError, match="could not convert string to float"):
        load_modal().Committee([member]).query(X)


def test_the_extras_that_are_installed_fail_at_the_edges_and_ours_do_not(make_context: ContextMaker) -> None:
    for library, edge in (("small_text", small_text_with_one_class), ("skactiveml", typiclust_of_equal_rows)):
        if importlib.util.find_spec(library) is not None:
            edge(make_context)


def small_text_with_one_class(make_context: ContextMaker) -> None:
    theirs = load_without_torch("small_text.query_strategies")
    with pytest.raises(IndexError):
        theirs.BreakingTies._best_versus_second_best(np.array([1.0]))
    assert len(get_strategy("small_text:BreakingTies").rank(make_context(n_classes=1), 20)) == 20


def typiclust_of_equal_rows(make_context: ContextMaker) -> None:
    X, y = np.ones((40, 3)), np.full(40, np.nan)
    y[:4] = [0, 1, 0, 1]
    theirs = load_without_torch("skactiveml.pool").TypiClust(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, UnboundLocalError)):
            theirs.query(X, y, batch_size=5)
    context = make_context(features=np.ones((120, 6), np.float32))
    assert len(get_strategy("skactiveml:TypiClust").rank(context, 20)) == 20
