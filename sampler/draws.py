"""With which probability each pick of a draw was drawn: one after another, without replacement.

Sums of weights are kept in fixed point, because integers add up to the same whatever the order and the parts: nothing
is lost where what was drawn is taken from the sum of a million, a short draw has the very probabilities that a long one
starts with, and parts of a pool that were added up by several workers give those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

LEAST_WEIGHT = 2.0**-40
"""Of a smaller weight less than six digits would be left."""
_BITS = 31
_UNIT = float(1 << _BITS)
_CHUNK = 65_536


@dataclass(frozen=True)
class WeightSum:
    """The exact sum of weights that were rounded down to multiples of 2⁻⁶².

    Attributes:
        high: In units of 2⁻³¹.
        low: In units of 2⁻⁶²: what is left of each weight below 2⁻³¹, so it may be more than one of ``high``'s.
    """

    high: int = 0
    low: int = 0

    @classmethod
    def of(cls, weights: FloatArray) -> WeightSum:
        """The sum of weights of shape ``(n,)``.

        Raises:
            InvalidInput: A weight is below `LEAST_WEIGHT`, NaN or infinite, or they add up to 2³¹ or more.
        """
        total = cls()
        for start in range(0, len(weights), _CHUNK):
            high, low = _words(weights[start : start + _CHUNK])
            total += cls(int(high.sum()), int(low.sum()))
        if total.high >= 1 << 62:
            raise InvalidInput("weights", f"they add up to {total.high / _UNIT:.3g}; divide them by the largest")
        return total

    def __add__(self, other: WeightSum) -> WeightSum:
        return WeightSum(self.high + other.high, self.low + other.low)


def draw_probabilities(weights: FloatArray, total: WeightSum) -> FloatArray:
    """The probability of each pick of a draw without replacement, given those before it: its share of what was left.

    The Plackett-Luce model, in which a top k by Gumbel noise is such a draw (Kool, van Hoof & Welling 2019); with these
    probabilities a mean over the picks can be made to estimate that over the pool without bias (Farquhar, Gal &
    Rainforth 2021).

    Args:
        weights: Shape ``(k,)``: the weights of the picks, in the order in which they were drawn.
        total: The sum over all that could be drawn, the picks included.

    Returns:
        Shape ``(k,)``, float64, in (0, 1].

    Raises:
        InvalidInput: As `WeightSum.of`, or the picks weigh more than the total.

    >>> draw_probabilities(np.array([0.5, 0.25, 0.25]), WeightSum.of(np.array([0.25, 0.5, 0.25, 1.0]))).tolist()
    [0.25, 0.16666666666666666, 0.2]
    """
    high, low = _words(weights)
    left_high = total.high - (np.cumsum(high) - high)
    left_low = total.low - (np.cumsum(low) - low)
    if len(weights) and (left_high[-1] < high[-1] or left_low[-1] < low[-1]):
        raise InvalidInput("weights", "the picks weigh more than all that could be drawn")
    probabilities: FloatArray = _value(high, low) / _value(left_high, left_low)
    return probabilities


def uniform_probabilities(k: int, m: int) -> FloatArray:
    """The same for ``k`` picks out of ``m`` that all weigh the same: 1/m, 1/(m - 1), ….

    >>> uniform_probabilities(2, 4).tolist()
    [0.25, 0.3333333333333333]
    """
    return 1.0 / (m - np.arange(k, dtype=np.float64))


def _words(weights: FloatArray) -> tuple[IntArray, IntArray]:
    if len(weights) and not (weights.min() >= LEAST_WEIGHT and weights.sum() < _UNIT):  # negated: NaN is bad too
        why = f"not numbers from {LEAST_WEIGHT:.3g} on that add up to less than {_UNIT:.3g}; divide them by the largest"
        raise InvalidInput("weights", why)
    scaled = np.asarray(weights, dtype=np.float64) * _UNIT
    high = np.floor(scaled)
    low = np.floor((scaled - high) * _UNIT)
    return high.astype(np.int64), low.astype(np.int64)


def _value(high: IntArray, low: IntArray) -> NDArray[np.float64]:
    return (high.astype(np.float64) + low / _UNIT) / _UNIT
