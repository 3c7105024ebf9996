import numpy as np
import pytest

from models.softmax import fit_softmax


def blobs(n=120, d=6, k=3):
    rng = np.random.default_rng(1)
    y = np.arange(n) % k
    return (rng.normal(size=(k, d))[y] + rng.normal(size=(n, d))).astype(np.float32), y


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
def test_it_finds_what_scikit_learn_finds(C):
    from sklearn.linear_model import LogisticRegression

    Z, y = blobs()
    W, b = fit_softmax(Z, y, 3, C, tolerance=1e-6)
    reference = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(Z.astype(float), y)
    assert pytest.approx(reference.coef_, abs=2e-3) == W
    ours, theirs = Z @ W.T + b, reference.decision_function(Z)
    assert ours - ours.mean(axis=1, keepdims=True) == pytest.approx(
        theirs - theirs.mean(axis=1, keepdims=True), abs=1e-2
    )


def test_a_warm_start_ends_at_the_same_place():
    Z, y = blobs()
    cold = fit_softmax(Z, y, 3, 1.0, tolerance=1e-6)
    warm = fit_softmax(Z, y, 3, 1.0, tolerance=1e-6, start=(cold[0] + 0.5, cold[1] - 0.5))
    assert warm[0] == pytest.approx(cold[0], abs=2e-3)


def test_one_class_alone_teaches_nothing():
    W, b = fit_softmax(np.ones((4, 2), dtype=np.float32), np.zeros(4, dtype=np.int64), 1, 1.0)
    assert not W.any()
    assert not b.any()
