"""How much of a teacher a member is, and what they say together."""

from __future__ import annotations

import numpy as np

from models.blend import SHARES, choose_share, mix
from models.evaluate import log_losses


def two(n: int, sure: float, right: int) -> np.ndarray:
    """Probabilities of two classes for ``n`` rows of class 0, of which ``right`` are right."""
    P = np.full((n, 2), 1 - sure, np.float32)
    P[:right, 0] = P[right:, 1] = sure
    return P


def test_a_clearly_better_member_gets_its_share_and_one_that_is_not_gets_none() -> None:
    y = np.zeros(100, np.int64)
    better = choose_share(y, two(100, 0.8, 70), two(100, 0.9, 95))
    assert better.value == 1.0
    assert better.head_loss is not None
    assert better.loss is not None
    assert better.loss < better.head_loss
    worse = choose_share(y, two(100, 0.9, 95), two(100, 0.8, 70))
    assert (worse.value, worse.loss) == (0.0, worse.head_loss)
    same = choose_share(y, two(100, 0.9, 90), two(100, 0.9, 90))
    assert same.value == 0.0


def test_too_few_tested_rows_leave_the_head_alone() -> None:
    head, member = two(30, 0.8, 15), two(30, 0.9, 30)
    head[:11] = np.nan
    found = choose_share(np.zeros(30, np.int64), head, member)
    assert (found.value, found.tested, found.loss) == (0.0, 19, None)


def test_two_that_err_on_different_rows_are_better_together_and_the_least_such_share_is_taken() -> None:
    y = np.zeros(400, np.int64)
    head, member = two(400, 0.9, 320), two(400, 0.9, 400)
    member[:60] = 1 - member[:60]
    found = choose_share(y, head, member)
    assert 0 < found.value < 1
    losses = np.array([log_losses(y, mix(head, member, share)) for share in SHARES])
    best = losses[losses.mean(axis=1).argmin()]
    least = next(
        share
        for share, of_share in zip(SHARES, losses, strict=True)
        if (of_share - best).mean() <= (of_share - best).std(ddof=1) / 20
    )
    assert found.value == least
    assert found.loss is not None
    assert found.head_loss is not None
    assert found.member_loss is not None
    assert found.loss < min(found.head_loss, found.member_loss)


def test_a_mix_lies_between_both_and_its_ends_are_each() -> None:
    head, member = two(10, 0.8, 5), two(10, 0.9, 8)
    np.testing.assert_array_equal(mix(head, member, 0.0), head)
    np.testing.assert_array_equal(mix(head, member, 1.0), member)
    together = mix(head, member, 0.25)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, 0.75 * head + 0.25 * member, rtol=1e-6)
