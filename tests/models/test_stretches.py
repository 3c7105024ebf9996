import threading

import numpy as np
import pytest

from models.stretches import STRETCH_ROWS, in_stretches
from models.teachers import LogisticTeacher


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("n", [0, 5, STRETCH_ROWS, 3 * STRETCH_ROWS + 1])
def test_every_row_is_in_one_stretch_and_stretches_do_not_hang_on_threads(n, threads):
    seen, stretches = np.zeros(n, dtype=int), []

    def work(begin, end):
        seen[begin:end] += 1
        stretches.append((begin, end))

    in_stretches(work, n, threads)
    assert (seen == 1).all()
    assert sorted(stretches) == [(s, min(n, s + STRETCH_ROWS)) for s in range(0, n, STRETCH_ROWS)]


def test_two_threads_are_at_work_at_once():
    both = threading.Barrier(2, timeout=30)
    in_stretches(lambda begin, end: both.wait(), 2 * STRETCH_ROWS, 2)
    assert not both.broken


@pytest.mark.parametrize("threads", [1, 2])
def test_what_goes_wrong_in_a_stretch_is_raised(threads):
    def work(begin, end):
        if begin:
            raise ValueError(f"from {begin}")

    with pytest.raises(ValueError, match=f"from {STRETCH_ROWS}"):
        in_stretches(work, 2 * STRETCH_ROWS, threads)


def test_a_teachers_answers_are_the_same_on_one_thread_and_on_two():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2 * STRETCH_ROWS + 700, 6)).astype(np.float16)
    y = (X[:90, 0] > 0).astype(int) + (X[:90, 1] > 0)
    teacher = LogisticTeacher.fit(X[:90], y, 4, rng=rng, C=1.0)
    one, two = teacher.predict_proba(X, threads=1), teacher.predict_proba(X, threads=2)
    assert np.array_equal(one, two)
    assert one.shape == (len(X), 4)
    assert one.sum(axis=1) == pytest.approx(np.ones(len(X)), abs=1e-5)
    assert one[-300:] == pytest.approx(teacher.predict_proba(X[-300:]), abs=1e-6)


def test_rows_that_are_named_get_the_answers_that_all_rows_get():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(STRETCH_ROWS + 5_000, 6)).astype(np.float16)
    y = (X[:90, 0] > 0).astype(int)
    teacher = LogisticTeacher.fit(X[:90], y, 2, rng=rng, C=1.0)
    every = teacher.predict_proba(X)
    shuffled = rng.permutation(len(X))[:3_000]
    for rows in (np.arange(700, len(X)), np.arange(len(X))[::-1], shuffled, np.array([5]), np.arange(0)):
        assert teacher.predict_proba(X, rows, threads=2) == pytest.approx(every[rows], abs=1e-6)
