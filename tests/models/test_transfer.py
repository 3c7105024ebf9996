"""What is made of several teachers, of neighbours and of earlier students."""

import numpy as np
import pytest

from models.errors import BadInput
from models.evaluate import log_loss
from models.transfer import Stage, distil_chain, fit_teacher_weights, mix_teachers, propagate
from tests.models.small_students import KINDS, soft_labels, texts

SURE, UNDECIDED = [[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]


def test_teachers_are_averaged_by_their_weights():
    assert mix_teachers([SURE, UNDECIDED]) == pytest.approx(np.array([[0.7, 0.3], [0.35, 0.65]]))
    assert mix_teachers([SURE, UNDECIDED], [3, 1]) == pytest.approx(np.array([[0.8, 0.2], [0.275, 0.725]]))


def test_the_fitted_weights_give_the_smallest_loss_of_all():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    teachers = [
        soft_labels(np.where(rng.random(200) < right, y, rng.integers(0, 3, 200)), 3, 0.8) for right in (0.9, 0.5)
    ]
    weights = fit_teacher_weights(teachers, y)
    assert weights.sum() == pytest.approx(1)
    best = min(np.linspace(0, 1, 201), key=lambda w: log_loss(y, mix_teachers(teachers, [w, 1 - w])))
    assert weights[0] == pytest.approx(best, abs=0.006)
    assert 0.5 < weights[0] < 1


def test_soft_labels_spread_along_the_graph_and_stay_probabilities():
    near = np.array([[1], [0], [1]])
    once = propagate([[1, 0], [0, 1], [0.5, 0.5]], near, share=0.5, steps=1)
    assert once.tolist() == [[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]]
    assert propagate(SURE, [[1], [0]], share=0.0).tolist() == SURE
    assert propagate(SURE, [[1], [0]], share=1.0, steps=2) == pytest.approx(np.array(SURE))
    assert propagate(SURE, [[1], [0]], steps=5).sum(1) == pytest.approx([1, 1])


@pytest.mark.parametrize(("teacher_share", "at_least", "at_most"), [(0.0, 0.98, 1.0), (1.0, 0.0, 0.9)])
def test_a_later_stage_learns_from_the_one_before_it_by_its_share(teacher_share, at_least, at_most):
    items, y = texts(60)
    chain = distil_chain(
        [Stage("hashed"), Stage("hashed", teacher_share, {"label_weight": 0.0})],
        items, np.full((60, 2), 0.5), items, y, class_names=KINDS, rng=np.random.default_rng(0),
    )  # fmt: skip
    # The teacher knows nothing: what the second one knows it has from the first, which had labels.
    first, second = [(one.student.predict_proba(items).argmax(1) == y).mean() for one in chain]
    assert first == 1.0
    assert at_least <= second <= at_most
    assert [one.report.n_transfer for one in chain] == [60, 60]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mix_teachers([]), "all alike"),
        (lambda: mix_teachers([SURE, [[1.0, 0.0]]]), "all alike"),
        (lambda: mix_teachers([SURE, SURE], [1]), "a weight each"),
        (lambda: mix_teachers([SURE, SURE], [0, 0]), "one above zero"),
        (lambda: fit_teacher_weights([SURE], [0]), "Labels of shape"),
        (lambda: fit_teacher_weights([SURE], [0, 2]), "from 0 to 1"),
        (lambda: propagate(SURE, [[1]]), "Neighbours must be"),
        (lambda: propagate(SURE, [[1], [2]]), "row numbers from 0 to 1"),
        (lambda: propagate(SURE, [[1], [0]], share=1.5), "share must lie"),
        (lambda: distil_chain([], [], [], [], [], class_names=KINDS, rng=np.random.default_rng(0)), "needs a stage"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(BadInput, match=message):
        call()
