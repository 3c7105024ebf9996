"""Orders of learning: what is let in when; every order makes as many steps as the shuffled one."""

import numpy as np
import pytest

from models.curriculum import CURRICULA, entropies, epoch_order, make_curriculum
from models.errors import BadInput

ROWS = np.arange(100, 200)
HARDNESS = np.linspace(0, 1, 100)[::-1].astype(np.float32)  # row 199 is the easiest


def order(name, done, seed=0):
    return epoch_order(name, ROWS, HARDNESS, done, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CURRICULA)
@pytest.mark.parametrize("done", [0.0, 0.3, 0.9])
def test_a_pass_has_as_many_rows_in_every_order_and_repeats_itself(name, done):
    rows = order(name, done)
    assert len(rows) == 100
    assert set(rows.tolist()) <= set(ROWS.tolist())
    assert rows.tolist() == order(name, done).tolist()


@pytest.mark.parametrize("name", CURRICULA)
def test_in_the_end_every_row_is_met_once(name):
    assert sorted(order(name, 0.6).tolist()) == ROWS.tolist()


def test_the_easiest_quarter_comes_first_and_the_hardest_where_they_are_asked_for():
    assert set(order("easy_to_hard", 0).tolist()) == set(range(175, 200))
    assert set(order("self_paced", 0).tolist()) == set(range(175, 200))
    assert set(order("hard_first", 0).tolist()) == set(range(100, 125))
    # √(1/16 + 15/16 · 1/2) of the rows are in after half of the time until all are.
    assert len(set(order("easy_to_hard", 0.3).tolist())) == 73


def test_shuffled_is_a_plain_permutation_whatever_is_hard():
    assert order("shuffled", 0).tolist() == np.random.default_rng(0).permutation(ROWS).tolist()


def test_an_undecided_target_is_hard():
    assert entropies(np.float32([[1, 0], [0.5, 0.5]])) == pytest.approx([0, np.log(2)], abs=1e-6)


def test_an_unknown_order_is_refused():
    with pytest.raises(BadInput, match="use one of: shuffled, easy_to_hard"):
        make_curriculum("backwards")
