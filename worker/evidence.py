"""Anytime-valid evidence: an interval for an accuracy, and the test that holds a harmful student back.

People look after every label, and stop when they like what they see. Ordinary intervals and p-values are wrong then;
these hold at all times at once.

**The interval** inverts a mixture of likelihood ratios over a Beta(8, 2) prior (Robbins 1970): the prior is where
accuracies tend to lie, and the coverage holds whatever the truth is. Beside hedged betting (Waudby-Smith & Ramdas
2024) the half-widths at accuracy .8 are .154 / .099 / .071 / .057 against .156 / .108 / .084 / .065 at 50 / 140 / 300 /
500 labels, so this one is used.

**The promotion rule.** The first student is always promoted. A later one is held only on evidence of harm, gathered by
three tests of whether it

1. is wrong where the current student is right more often than the reverse, on the measured (holdout or test) labels;
2. agrees with the teacher on random pool items by more than a point less than the current student does;
3. has a higher log-loss than the current student on the exploration labels.

Each test is an e-value: a bet against "no harm" whose wealth is at most 1 on average when there is none, whenever one
looks (Ramdas et al. 2023). So is their mean, whatever they have in common; a test that cannot be made yet counts as 1.
The student is held where the mean reaches 1 / α. No evidence, no hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betaln, logsumexp

ALPHA = 0.05
LEAST_MEASURED = 50
"""Below it an accuracy is "not yet measurable"."""
AGREEMENT_TOLERANCE = 0.01
"""Of agreement with the teacher: the loss that is nobody's harm."""

_PRIOR = (8.0, 2.0)
_STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
_EDGE = 1e-12
_N_TESTS = 3


def confidence_sequence(successes: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """An interval for a success rate that holds at every ``n`` at once with probability 1 - ``alpha``.

    Args:
        successes: How many of them succeeded.
        n: How many were seen.
        alpha: How often the interval may ever miss.

    Returns:
        The bounds, ``0 ≤ low ≤ successes / n ≤ high ≤ 1``; (0, 1) where nothing was seen.

    Raises:
        ValueError: Counts that cannot be, or ``alpha`` outside (0, 1).

    >>> low, high = confidence_sequence(85, 100)
    >>> round(low, 2), round(high, 2)
    (0.73, 0.93)
    """
    if not 0 <= successes <= n or not 0.0 < alpha < 1.0:
        raise ValueError(f"{successes} successes of {n} at alpha {alpha} cannot be")
    if n == 0:
        return 0.0, 1.0
    failures = n - successes
    mixture = betaln(_PRIOR[0] + successes, _PRIOR[1] + failures) - betaln(*_PRIOR)

    def excess(rate: float) -> float:
        return float(mixture - successes * np.log(rate) - failures * np.log1p(-rate) + np.log(alpha))

    middle = min(max(successes / n, _EDGE), 1.0 - _EDGE)
    # The mixture never exceeds the largest likelihood, so the middle is always inside. Where even the edge is inside
    # (a rate that the prior finds very unlikely), the interval reaches it.
    low = brentq(excess, _EDGE, middle) if successes and excess(_EDGE) > 0.0 else 0.0
    high = brentq(excess, middle, 1.0 - _EDGE) if failures and excess(1.0 - _EDGE) > 0.0 else 1.0
    return float(low), float(high)


def harm(differences: ArrayLike, tolerance: float = 0.0) -> float:
    """The log e-value against "the mean difference is at most ``tolerance``": large where there is harm.

    The wealth of a gambler who stakes a fixed share of it on each difference being positive, averaged over ten shares.

    Args:
        differences: Shape ``(n,)``, each in [-1, 1]: new minus old, positive where the new one is worse.
        tolerance: In [0, 0.2]: how much worse is no harm.

    Returns:
        Natural log of the e-value; 0 where nothing was seen. By Ville's inequality it ever reaches ``log(1 / α)`` with
        probability at most α where there is no harm.

    Raises:
        ValueError: A difference is NaN or outside [-1, 1].

    >>> round(harm([0.0, 0.0]), 6), round(harm([1.0, 1.0, 1.0]), 3)
    (0.0, 1.045)
    """
    d = np.asarray(differences, dtype=np.float64)
    if not (np.abs(d) <= 1.0).all():
        raise ValueError("differences must lie in [-1, 1]")
    wealth = np.log1p(_STAKES[:, None] * (d[None, :] - tolerance)).sum(axis=1)
    return float(logsumexp(wealth) - np.log(len(_STAKES)))


@dataclass(frozen=True)
class Comparison:
    """The new student and the current one on the same rows. Each pair of arrays has one shape; None: not measured.

    Attributes:
        new_right: bool, (n,): whether the new student is right on each measured row.
        old_right: The same of the current one.
        new_agrees: bool, (m,): whether the new student agrees with the teacher on each random pool row.
        old_agrees: The same of the current one.
        new_losses: float, (k,): the new student's log-loss on each exploration label, in nats.
        old_losses: The same of the current one.
    """

    new_right: NDArray[Any] | None = None
    old_right: NDArray[Any] | None = None
    new_agrees: NDArray[Any] | None = None
    old_agrees: NDArray[Any] | None = None
    new_losses: NDArray[Any] | None = None
    old_losses: NDArray[Any] | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why, and the log e-value of each test that was made."""

    promoted: bool
    reason: str
    evidence: dict[str, float] = field(default_factory=dict)


def decide_promotion(comparison: Comparison | None, alpha: float = ALPHA) -> Decision:
    """Promote unless there is evidence of harm; the rule stands at the top of this module.

    Args:
        comparison: The two students on the same rows; None where there is no current student.
        alpha: How often a harmless student may be held.
    """
    if comparison is None:
        return Decision(True, "the first student")
    evidence: dict[str, float] = {}
    why: dict[str, str] = {}
    c = comparison
    if c.new_right is not None and c.old_right is not None and len(c.new_right):
        lost = c.old_right.astype(float) - c.new_right.astype(float)
        evidence["measured"] = harm(lost)
        why["measured"] = (
            f"on {len(lost)} measured labels it is wrong on {int((lost > 0).sum())} that the current student gets "
            f"right, and right on only {int((lost < 0).sum())} that it gets wrong"
        )
    if c.new_agrees is not None and c.old_agrees is not None and len(c.new_agrees):
        lost = c.old_agrees.astype(float) - c.new_agrees.astype(float)
        evidence["agreement"] = harm(lost, AGREEMENT_TOLERANCE)
        why["agreement"] = (
            f"on {len(lost)} random items it agrees with the teacher on {c.new_agrees.mean():.1%}, the current student "
            f"on {c.old_agrees.mean():.1%}"
        )
    if c.new_losses is not None and c.old_losses is not None and len(c.new_losses):
        # Bounded, so that a single confident mistake decides nothing.
        lost = np.clip((c.new_losses - c.old_losses) / 2.0, -1.0, 1.0)
        evidence["exploration"] = harm(lost)
        why["exploration"] = (
            f"its log-loss on {len(lost)} exploration labels is {float(np.mean(c.new_losses)):.3f}, the current "
            f"student's {float(np.mean(c.old_losses)):.3f}"
        )
    untested = [0.0] * (_N_TESTS - len(evidence))
    mean = float(logsumexp([*evidence.values(), *untested]) - np.log(_N_TESTS))
    threshold = float(-np.log(alpha))
    # Named is what carries the decision: all that would do alone, or else the strongest.
    against = [name for name, value in evidence.items() if value >= min(threshold, max(evidence.values()))]
    evidence = {name: round(value, 4) for name, value in evidence.items()}
    if mean >= threshold:
        return Decision(False, "held: " + "; ".join(why[name] for name in against), evidence)
    return Decision(True, "no evidence that it is worse than the current student", evidence)
