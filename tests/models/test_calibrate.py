import numpy as np
import pytest

from models.calibrate import apply_temperature, fit_temperature
from models.errors import BadInput
from models.evaluate import log_loss


def drawn(temperature, n=4000):
    """Labels drawn from honest probabilities, and the probabilities of a model that is off by a temperature."""
    rng = np.random.default_rng(0)
    honest = apply_temperature(rng.dirichlet([1, 1, 1], size=n), 1.0)
    y = (rng.random(n)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    return apply_temperature(honest, 1 / temperature), y


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_taken_out_is_found_again(temperature):
    P, y = drawn(temperature)
    assert fit_temperature(P, y) == pytest.approx(temperature, rel=0.1)


def test_a_fitted_temperature_lowers_log_loss_and_changes_no_decision():
    P, y = drawn(3.0)
    calibrated = apply_temperature(P, fit_temperature(P, y))
    assert log_loss(y, calibrated) < log_loss(y, P) - 0.1
    assert (calibrated.argmax(axis=1) == P.argmax(axis=1)).all()
    assert calibrated.sum(axis=1) == pytest.approx(np.ones(len(P)))


def test_without_rows_the_temperature_is_one():
    assert fit_temperature(np.zeros((0, 3)), []) == 1.0


def test_temperatures_stay_within_bounds_when_every_row_is_right_or_wrong():
    P = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert 0.05 <= fit_temperature(P, [0, 0]) < 0.1
    assert 10 < fit_temperature(P, [1, 1]) <= 20


@pytest.mark.parametrize("call", [lambda: apply_temperature([[1.0]], 0), lambda: fit_temperature([[0.5, 0.5]], [2])])
def test_nonsense_is_refused(call):
    with pytest.raises(BadInput):
        call()
