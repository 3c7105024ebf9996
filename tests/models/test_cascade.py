import numpy as np
import pytest

from models.cascade import PASSED_ON, cascade_answers, choose_threshold, margins
from models.errors import BadInput, ModelError
from models.linear_head import fit_head


def answers(leads, classes):
    """Probabilities of two classes: each is led by its class by so much."""
    first = np.where(np.asarray(classes) == 0, 0.5 + np.asarray(leads) / 2, 0.5 - np.asarray(leads) / 2)
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


LEADS = np.arange(1, 101) / 100
TRUTH = np.arange(100) % 2
#: Wrong on the thirty least sure items, and on one in ten of the others.
STUDENT = answers(LEADS, np.where((np.arange(100) < 30) | (np.arange(100) % 10 == 0), 1 - TRUTH, TRUTH))
TEACHER = answers(np.full(100, 0.999), np.where(np.arange(100) % 20 == 0, 1 - TRUTH, TRUTH))


def test_a_share_is_passed_on_by_how_sure_the_student_is_of_fresh_items():
    found = choose_threshold(STUDENT, TEACHER, share=0.25)
    assert (found.passed_on, found.chosen_on, found.fresh) == (0.25, "share", 100)
    assert 0.25 < found.value < 0.26
    assert choose_threshold(STUDENT, TEACHER).passed_on == PASSED_ON
    assert choose_threshold(STUDENT, TEACHER, share=0).passed_on == 0
    assert choose_threshold(STUDENT, TEACHER, share=1).passed_on == 1


def test_accuracies_are_those_of_labels_where_there_are_enough():
    found = choose_threshold(STUDENT, TEACHER, (STUDENT, TEACHER, TRUTH), share=0.3)
    right = (STUDENT.argmax(1) == TRUTH).mean()
    assert (found.measured_on, found.items, found.student, found.teacher) == ("labels", 100, right, 0.95)
    # Of the thirty that are passed on the teacher has two wrong; the student is wrong on seven others.
    assert found.accuracy == pytest.approx((28 + 63) / 100)
    few = choose_threshold(STUDENT, TEACHER, (STUDENT[:10], TEACHER[:10], TRUTH[:10]), share=0.3)
    assert (few.measured_on, few.items, few.teacher) == ("agreement", 100, 1.0)


def test_a_stated_accuracy_passes_on_as_few_as_will_do():
    labelled = (STUDENT, TEACHER, TRUTH)
    found = choose_threshold(STUDENT, TEACHER, labelled, accuracy=0.8)
    fewer = choose_threshold(STUDENT, TEACHER, labelled, share=found.passed_on - 0.01)
    assert found.accuracy >= 0.8 > fewer.accuracy
    assert found.chosen_on == "labels"
    assert choose_threshold(STUDENT, TEACHER, accuracy=0.9).chosen_on == "agreement"


def test_an_accuracy_beyond_reach_is_an_error_that_says_what_can_be_had():
    with pytest.raises(ModelError, match=r"reaches 99.0%: the best has 95.0%"):
        choose_threshold(STUDENT, TEACHER, (STUDENT, TEACHER, TRUTH), accuracy=0.99)


@pytest.mark.parametrize(
    "asked", [{"share": 0.1, "accuracy": 0.9}, {"share": 1.5}, {"accuracy": -0.1}], ids=lambda asked: str(asked)
)
def test_what_cannot_be_asked_for_is_refused(asked):
    with pytest.raises(BadInput):
        choose_threshold(STUDENT, TEACHER, **asked)


def test_answers_to_other_items_and_to_none_are_refused():
    with pytest.raises(BadInput, match="same items"):
        choose_threshold(STUDENT, TEACHER[:5])
    with pytest.raises(BadInput, match="there are none"):
        choose_threshold(STUDENT[:0], TEACHER[:0])


def test_what_is_passed_on_gets_the_mean_of_both():
    mixed, passed = cascade_answers(STUDENT, TEACHER, 0.305)
    assert passed.sum() == 30
    assert mixed[passed] == pytest.approx((STUDENT[passed] + TEACHER[passed]) / 2)
    assert np.array_equal(mixed[~passed], STUDENT[~passed])
    assert margins(STUDENT) == pytest.approx(LEADS, abs=1e-6)


def test_a_head_learns_a_linear_teacher_from_its_soft_labels():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 8)).astype(np.float32)
    logits = X @ rng.standard_normal((8, 3)) + np.array([0.5, 0.0, -0.5])
    soft = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    head = fit_head(X[:400], soft[:400], rng=rng)
    assert np.abs(head.predict_proba(X[400:]) - soft[400:]).max() < 0.03
    assert (head.coef.shape, head.intercept.shape) == ((3, 8), (3,))


def test_a_heavier_row_counts_as_several():
    X = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    P = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]], np.float32)
    light, heavy = (
        fit_head(X, P, rng=np.random.default_rng(0), weight=[w, 1, 1, 1, 1, 1]).predict_proba(X[:1])[0, 0]
        for w in (1, 8)
    )
    assert light == pytest.approx(1 / 3, abs=0.06)
    assert heavy == pytest.approx(8 / 10, abs=0.06)


@pytest.mark.parametrize(("X", "P"), [(np.ones((2, 3)), np.ones((3, 2))), (np.ones((0, 3)), np.ones((0, 2)))])
def test_a_head_without_matching_rows_is_refused(X, P):
    with pytest.raises(BadInput):
        fit_head(X, P, rng=np.random.default_rng(0))
