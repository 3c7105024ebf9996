"""The choice of what teaches: who wins, by how much, and what an average is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.calibrate import apply_temperature
from models.errors import BadInput, CorruptModel
from models.stack import STACKED, CompositeTeacher, TeacherChoice, choose_teacher, simplex_weights

N = 100
Y = np.arange(N) % 2
FOLDS = np.arange(N) // 2 % 5


class Told:
    """A member that gives each row's own class a probability that was made up."""

    def __init__(self, name: str, of_truth: np.ndarray):
        self.name = name
        self.of_truth = np.broadcast_to(np.asarray(of_truth, np.float64), (N,))
        self.fits = 0

    def cross_fitted(self, folds: np.ndarray) -> np.ndarray:
        out = np.full((N, 2), np.nan, np.float32)
        tested = folds >= 0
        out[tested] = self.predict_proba(np.flatnonzero(tested))
        return out

    def fit(self) -> None:
        self.fits += 1

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        P = np.stack([1 - self.of_truth[rows], self.of_truth[rows]], axis=1)
        return np.where(Y[rows, None] == 1, P, P[:, ::-1]).astype(np.float32)


def honest(sureness: float) -> np.ndarray:
    """So sure of each row, and right on that share of them, in every fold and class alike."""
    return np.where(np.arange(N) // 10 < round(10 * sureness), sureness, 1 - sureness)


NOISE = np.random.default_rng(0).normal(size=(3, N))
HALF = np.arange(N) % 10 < 5


def test_another_wins_where_it_is_clearly_better() -> None:
    choice = choose_teacher([Told("logistic", honest(0.5)), Told("lexical", honest(0.9))], Y, FOLDS)
    assert (choice.kind, choice.weights, choice.tested) == ("lexical", {"lexical": 1.0}, N)
    head, lexical = choice.members
    assert lexical.log_loss == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1), abs=1e-4)
    assert [(member.weight, member.accuracy) for member in choice.members] == [(0.0, 0.5), (1.0, 0.9)]
    assert choice.stacked is not None
    assert choice.why == (
        f"log-loss on 100 labels that it was not trained on is 0.325, beside the head {head.log_loss:.3f}, "
        f"an average of all {choice.stacked.log_loss:.3f}: clearly better than the head"
    )


def test_the_default_wins_ties_and_what_lies_within_a_standard_error() -> None:
    head = Told("logistic", honest(0.7))
    assert choose_teacher([head, Told("lexical", honest(0.7))], Y, FOLDS).kind == "logistic"
    lucky = honest(0.7)
    lucky[-1:] = 0.7  # right on one row more: better, and no evidence
    choice = choose_teacher([head, Told("lexical", lucky)], Y, FOLDS)
    assert choice.members[1].log_loss < choice.members[0].log_loss
    assert choice.kind == "logistic"
    assert choice.why.endswith("none is clearly better")


def test_of_those_as_good_as_the_best_the_first_is_taken_and_the_average_last() -> None:
    head, first, second = (
        Told(name, honest(p)) for name, p in (("logistic", 0.5), ("prototypes", 0.9), ("lexical", 0.9))
    )
    assert choose_teacher([head, first, second], Y, FOLDS).kind == "prototypes"


def test_members_that_know_different_rows_are_averaged() -> None:
    one, other = Told("logistic", np.where(HALF, honest(0.9), 0.5)), Told("lexical", np.where(HALF, 0.5, honest(0.9)))
    choice = choose_teacher([one, other], Y, FOLDS)
    assert choice.kind == STACKED
    assert choice.weights == pytest.approx({"logistic": 0.5, "lexical": 0.5}, abs=0.05)
    assert choice.temperature < 1  # an average of sure and unsure answers is too unsure
    assert choice.stacked is not None
    assert choice.stacked.log_loss < min(member.log_loss or 0 for member in choice.members) - 0.1
    assert choice.stacked.accuracy == 0.9
    assert "(50% the head and 50% lexical)" in choice.why


def test_a_useless_member_gets_no_share_and_is_never_asked() -> None:
    head, useless = Told("logistic", 0.8 + 0.1 * HALF), Told("lexical", 0.3)
    choice = choose_teacher([head, useless], Y, FOLDS, asked=STACKED)
    assert choice.weights == {"logistic": 1.0}
    teacher = CompositeTeacher([head, useless], choice)
    teacher.predict_proba(np.arange(4))
    assert (head.fits, useless.fits) == (1, 0)


def test_the_average_is_judged_by_weights_that_were_fitted_without_the_fold() -> None:
    members = [Told(name, np.clip(0.55 + 0.2 * NOISE[i], 0.05, 0.95)) for i, name in enumerate(("logistic", "a", "b"))]
    choice = choose_teacher(members, Y, FOLDS, asked=STACKED)
    seen = CompositeTeacher(members, choice).predict_proba(np.arange(N))[np.arange(N), Y]
    assert choice.stacked is not None
    assert choice.stacked.log_loss is not None
    assert choice.stacked.log_loss > -np.log(seen).mean() + 1e-3


def test_rows_that_are_in_no_fold_are_not_counted() -> None:
    folds = np.where(HALF, FOLDS, -1)
    head, other = Told("logistic", np.where(HALF, honest(0.9), 0.01)), Told("lexical", np.where(HALF, 0.5, 0.99))
    choice = choose_teacher([head, other], Y, folds)
    assert (choice.kind, choice.tested, choice.members[0].accuracy) == ("logistic", 50, 0.9)


def test_with_few_labels_the_head_teaches_unless_another_is_asked_for() -> None:
    folds = np.where(np.arange(N) < 19, FOLDS, -1)
    head, better = Told("logistic", 0.5), Told("lexical", 0.9)
    choice = choose_teacher([head, better], Y, folds)
    assert (choice.kind, choice.tested) == ("logistic", 0)
    assert choice.why == "19 labels to test on are too few to compare teachers"
    assert [member.log_loss for member in choice.members] == [None, None]
    assert choose_teacher([head, better], Y, folds, asked="lexical").kind == "lexical"
    assert choose_teacher([head, better], Y, folds, asked=STACKED).kind == "logistic"


def test_what_is_asked_for_teaches_and_is_still_compared() -> None:
    choice = choose_teacher([Told("logistic", honest(0.9)), Told("lexical", honest(0.6))], Y, FOLDS, asked="lexical")
    assert choice.kind == "lexical"
    assert choice.why.startswith("the settings say so; log-loss on 100 labels that it was not trained on is 0.673")
    with pytest.raises(BadInput, match="no teacher 'sklearn:forest'"):
        choose_teacher([Told("logistic", 0.9)], Y, FOLDS, asked="sklearn:forest")


def test_weights_are_those_of_the_least_log_loss_on_the_simplex() -> None:
    P = np.clip(0.6 + 0.2 * NOISE, 0.05, 0.95)
    weights = simplex_weights(P)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    best = -np.log(weights @ P).mean()
    for direction in np.eye(3):
        moved = 0.98 * weights + 0.02 * direction
        assert -np.log(moved @ P).mean() >= best - 1e-7


def test_one_member_teaches_bit_for_bit_and_an_average_is_the_weighted_mean_at_its_temperature() -> None:
    head, other = Told("logistic", 0.8 + 0.05 * NOISE[0]), Told("lexical", 0.6)
    rows = np.arange(10)
    alone = CompositeTeacher([head, other], TeacherChoice())
    np.testing.assert_array_equal(alone.predict_proba(rows), head.predict_proba(rows))
    both = CompositeTeacher([head, other], TeacherChoice(STACKED, {"logistic": 0.25, "lexical": 0.75}, 0.5))
    mean = 0.25 * head.predict_proba(rows) + 0.75 * other.predict_proba(rows)
    np.testing.assert_allclose(both.predict_proba(rows), apply_temperature(mean, 0.5), rtol=1e-5)
    assert both.predict_proba(np.empty(0, np.int64)).shape == (0, 2)
    with pytest.raises(BadInput, match="for items of the pool only"):
        both.of_items(np.zeros((1, 2)), [])
    with pytest.raises(BadInput, match="not there any more"):
        CompositeTeacher([head], TeacherChoice("lexical", {"lexical": 1.0}))


def test_a_choice_comes_back_from_json_as_it_was() -> None:
    choice = choose_teacher([Told("logistic", 0.6), Told("lexical", 0.9)], Y, FOLDS)
    kept = json.loads(json.dumps(choice.to_dict()))
    assert TeacherChoice.from_dict(kept) == choice
    for damaged in ({}, {**kept, "members": [{"name": "a"}]}, {**kept, "weights": 3}):
        with pytest.raises(CorruptModel, match="not complete"):
            TeacherChoice.from_dict(damaged)
