"""The head that learns from labels and answers, and the share of the teacher that it gets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.errors import BadInput, NotFitted
from models.evaluate import log_loss
from models.llm.answers import Answers
from models.llm.member import AnsweredHead, Labels
from models.llm.soft_head import fit_soft_softmax
from models.members import TeacherMember
from models.regularisation import UNSEEN_PROBABILITY
from models.softmax import fit_softmax
from models.teachers import LogisticTeacher

N, D, K = 400, 12, 3


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three overlapping clouds, of unit length, and their classes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(K, size=N)
    X = rng.normal(size=(N, D)) + 1.5 * np.eye(K, D)[truth]
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), truth


def answers_about(rows: np.ndarray, truth: np.ndarray, sure: float = 0.9, examples: list[int] | None = None) -> Answers:
    said = {int(row): np.where(np.arange(K) == truth[row], sure, (1 - sure) / (K - 1)) for row in rows}
    return Answers.of(said, {int(row): examples or [] for row in rows}, K)


def head_on(X: np.ndarray, labels: Labels) -> LogisticTeacher:
    return LogisticTeacher.fit(X[labels.rows], labels.y, K, rng=np.random.default_rng(0), pool=X)


def member_of(X: np.ndarray, truth: np.ndarray, n_labels: int, answers: Answers) -> AnsweredHead:
    labels = Labels(np.arange(n_labels), truth[:n_labels])
    member: TeacherMember = AnsweredHead("llm:made", X, head_on(X, labels), labels, answers)
    assert isinstance(member, AnsweredHead)
    return member


def test_with_one_hot_targets_the_soft_fit_is_the_hard_one() -> None:
    X, truth = made()
    W, b = fit_softmax(X[:60], truth[:60], K, 3.0, tolerance=1e-6)
    V, c = fit_soft_softmax(X[:60], np.eye(K, dtype=np.float32)[truth[:60]], 3.0, tolerance=1e-6)
    assert_allclose(W, V, atol=2e-3)
    assert_allclose(b - b.mean(), c - c.mean(), atol=2e-3)
    assert fit_soft_softmax(X[:3], np.ones((3, 1), np.float32), 3.0)[0].tolist() == [[0.0] * D]


def test_good_answers_make_a_better_teacher_than_labels_alone() -> None:
    X, truth = made()
    alone = member_of(X, truth, 30, Answers.none(K))
    helped = member_of(X, truth, 30, answers_about(np.arange(30, 230), truth))
    alone.fit()
    helped.fit()
    test = np.arange(230, N)
    right = [float((member.predict_proba(test).argmax(axis=1) == truth[test]).mean()) for member in (alone, helped)]
    assert right[1] > right[0] + 0.03
    rows = helped.predict_proba(test)
    assert rows.dtype == np.float32
    assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_people_are_right_where_an_answer_differs_from_their_label() -> None:
    X, truth = made()
    wrong = answers_about(np.arange(30), (truth + 1) % K)
    alone, with_wrong = member_of(X, truth, 30, Answers.none(K)), member_of(X, truth, 30, wrong)
    alone.fit()
    with_wrong.fit()
    assert with_wrong.n_soft == 0
    assert_allclose(alone.predict_proba(np.arange(N)), with_wrong.predict_proba(np.arange(N)))


def test_answers_that_claim_too_much_are_taken_at_a_higher_temperature() -> None:
    X, truth = made()
    boasting = truth.copy()
    boasting[::3] = (boasting[::3] + 1) % K  # right on two of three rows
    member = member_of(X, truth, 90, answers_about(np.arange(200), boasting, sure=0.998))
    assert member.answers_temperature > 3
    assert member_of(X, truth, 19, answers_about(np.arange(200), boasting, sure=0.998)).answers_temperature == 1.0


def test_a_fold_is_predicted_without_its_labels_and_without_answers_that_were_shown_them() -> None:
    X, truth = made()
    folds = np.arange(60) % 5
    folds[:10] = -1
    fold = np.flatnonzero(folds == 2)
    around = answers_about(np.arange(60, 200), (truth + 1) % K, examples=[int(fold[0])])
    member = member_of(X, truth, 60, around)
    out = member.cross_fitted(folds)
    assert np.isnan(out[:10]).all()
    assert not np.isnan(out[10:]).any()
    assert [len(member._part(folds == which).soft) for which in (2, 3)] == [0, 140]
    changed = truth.copy()
    changed[fold] = (changed[fold] + 1) % K
    head = head_on(X, Labels(np.arange(60), truth[:60]))
    other = AnsweredHead("llm:made", X, head, Labels(np.arange(60), changed[:60]), around)
    heads = [one._trained(one._part(folds == 2), 3.0, None) for one in (member, other)]
    assert_allclose(heads[0].coef, heads[1].coef)  # nothing of their labels reaches what predicts them


def test_wrong_answers_are_seen_to_be_wrong() -> None:
    X, truth = made()
    folds = np.arange(60) % 5
    wrong = member_of(X, truth, 60, answers_about(np.arange(60, 200), (truth + 1) % K)).cross_fitted(folds)
    alone = member_of(X, truth, 60, Answers.none(K)).cross_fitted(folds)
    assert log_loss(truth[:60], wrong) > log_loss(truth[:60], alone) + 0.1


def test_the_labels_that_were_shown_are_known() -> None:
    X, truth = made()
    member = member_of(X, truth, 10, answers_about(np.arange(20, 30), truth, examples=[3, 7]))
    assert np.flatnonzero(member.shown).tolist() == [3, 7]


def test_a_class_that_only_answers_name_is_known_and_one_that_nobody_names_is_not() -> None:
    X, truth = made()
    labels = Labels(np.flatnonzero(truth < 2)[:20], truth[truth < 2][:20])
    rest = np.setdiff1d(np.arange(N), labels.rows)
    head = LogisticTeacher.fit(X[labels.rows], labels.y, K + 1, rng=np.random.default_rng(0), pool=X)
    said = answers_about(rest[:100], truth)
    wider = Answers(said.rows, np.pad(said.probabilities, ((0, 0), (0, 1))), said.examples)
    member = AnsweredHead("llm:made", X, head, labels, wider)
    member.fit()
    P = member.predict_proba(rest)
    assert (P.argmax(axis=1) == 2).sum() > 50
    assert_allclose(P[:, 3], UNSEEN_PROBABILITY)


def test_it_says_so_when_it_was_not_fitted() -> None:
    X, truth = made()
    with pytest.raises(NotFitted, match="llm:made is not fitted yet"):
        member_of(X, truth, 10, Answers.none(K)).predict_proba(np.arange(3))


def test_answers_are_saved_and_read_back() -> None:
    _, truth = made()
    kept = answers_about(np.array([9, 4]), truth, examples=[1, 2, 3])
    again = Answers.from_arrays(kept.arrays())
    assert (again.rows.tolist(), again.examples.tolist()) == ([4, 9], [[1, 2, 3], [1, 2, 3]])
    assert_allclose(again.probabilities, kept.probabilities)
    assert len(Answers.none(K)) == 0
    assert Answers.none(K).probabilities.shape == (0, K)
    with pytest.raises(BadInput):
        Answers(kept.rows, kept.probabilities[:1], kept.examples)
