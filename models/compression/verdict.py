"""Whether a step of a compression is kept: it must pay on a CPU, and cost next to nothing in accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LEAST_GAIN = 1.05
"""Smaller or faster by less is no gain: timings differ by as much from run to run."""
LEAST_KEPT = 0.98
"""Share of the whole encoder's accuracy that must be left."""
LEAST_COSINE = 0.9
"""Mean cosine with the whole encoder's embeddings that must be left where there are no labels."""
_BETTER_COSINE = 0.001


@dataclass(frozen=True)
class Measured:
    """An encoder as it was found.

    Attributes:
        bytes: Of graph and tokenizer.
        zipped_bytes: The same in a zip: what a bundle carries.
        texts_per_second: By setting (``1 thread, batch 64``), tokenisation included.
        memory_mb: What loading it and encoding 64 texts takes beyond what was there; None where it cannot be told.
        cosine: Mean with the whole encoder's embeddings, on texts that nothing was learned from.
        accuracy: Of a linear head on its embeddings, on labels kept aside; None without labels.
        agreement: Share of those texts that get the same label as from the whole encoder.
    """

    bytes: int
    zipped_bytes: int
    texts_per_second: Mapping[str, float]
    memory_mb: float | None
    cosine: float
    accuracy: float | None = None
    agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For a report."""
        return asdict(self)

    def times(self, other: Measured) -> float:
        """How many times as fast as the other: the geometric mean over the settings of both."""
        both = [name for name in self.texts_per_second if name in other.texts_per_second]
        ratios = [self.texts_per_second[name] / other.texts_per_second[name] for name in both]
        return float(np.exp(np.mean(np.log(ratios))))


@dataclass(frozen=True)
class Verdict:
    """Whether a step stays, and why."""

    kept: bool
    why: str


def judge(after: Measured, before: Measured, whole: Measured, *, least_kept: float = LEAST_KEPT) -> Verdict:
    """Compare an encoder after a step with the one before it and with the whole one."""
    faster, smaller = after.times(before), before.bytes / after.bytes
    gains = []
    if faster >= LEAST_GAIN:
        gains.append(f"{faster:.2f} times as fast")
    if smaller >= LEAST_GAIN:
        gains.append(f"{1 - 1 / smaller:.0%} smaller")
    nearer = after.cosine - before.cosine
    if not gains and nearer >= _BETTER_COSINE and faster * LEAST_GAIN >= 1 and smaller * LEAST_GAIN >= 1:
        gains.append(f"nearer to the whole encoder by {nearer:.3f}")
    if not gains:
        return Verdict(False, f"it gains nothing on a CPU ({faster:.2f} times as fast, {1 - 1 / smaller:.0%} smaller)")
    if after.accuracy is not None and whole.accuracy:
        left = after.accuracy / whole.accuracy
        if left < least_kept:
            return Verdict(False, f"{left:.1%} of the accuracy is left, {least_kept:.1%} are asked for")
        return Verdict(True, f"{', '.join(gains)}; {left:.1%} of the accuracy")
    if after.cosine < LEAST_COSINE:
        return Verdict(False, f"the cosine with the whole encoder is {after.cosine:.3f}, {LEAST_COSINE} is asked for")
    return Verdict(True, f"{', '.join(gains)}; cosine {after.cosine:.3f}")
