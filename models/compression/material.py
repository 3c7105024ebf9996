"""What a compression works on: the encoder between two steps, and what the steps learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.compression.compact import text_pieces
from models.compression.network import EncoderNetwork, FloatArray, embed
from models.compression.recovery import RecoveryReport
from models.encoder_minilm import CALIBRATION_TEXTS

IntArray = NDArray[np.int64]
Progress = Callable[[str, float], None]

_CALIBRATION_TEXTS = 200
_TRAINING_TOKENS = 128
"""Of each text that is learned from: the rest of long ones would cost more than it teaches."""


@dataclass(frozen=True)
class EncoderState:
    """An encoder between two steps: weights that can be trained, a tokenizer, and how it will be stored.

    Attributes:
        weights: By their names in the Hugging Face checkpoint.
        tokenizer: Its tokenizer.json.
        form: One of `models.compression.compact.FORMS`.
        masks: Which weights magnitude pruning left.
        layers: Of the whole encoder, those that are left; empty where all are.
        reports: Of the recoveries so far.
    """

    weights: Mapping[str, FloatArray]
    tokenizer: str
    form: str = "fp32"
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    reports: tuple[RecoveryReport, ...] = ()
    layers: tuple[int, ...] = ()


class Material:
    """What steps learn from: texts of the pool, and the embeddings that the whole encoder gives for them.

    Args:
        whole: The encoder before any step.
        texts: Of the pool, in a random order; empty where there are none.
        rng: All randomness.
        epochs: Passes of recovery after each step that takes structure out; 0 for none.
        threads: Of torch.
        progress: Told what is done, and the share of it.
    """

    def __init__(
        self,
        whole: EncoderState,
        texts: Sequence[str],
        *,
        rng: np.random.Generator,
        epochs: float = 1,
        threads: int = 1,
        progress: Progress = lambda what, done: None,
    ):
        self.whole, self.texts, self.rng = whole, list(texts), rng
        self.epochs, self.threads, self.progress = epochs, threads, progress

    @cached_property
    def embeddings(self) -> FloatArray:
        """What the whole encoder gives for the texts, (n, width)."""
        return embed(EncoderNetwork(self.whole.weights), self.pieces(self.whole))

    def pieces(self, state: EncoderState, most: int | None = None) -> list[IntArray]:
        """The pieces of the first ``most`` texts as this encoder reads them."""
        return text_pieces(state.tokenizer, self.texts[:most], _TRAINING_TOKENS)

    def calibration(self, state: EncoderState) -> list[IntArray]:
        """The pieces of texts that say how large activations get."""
        texts = [*CALIBRATION_TEXTS, *self.texts[:_CALIBRATION_TEXTS]]
        return text_pieces(state.tokenizer, texts, _TRAINING_TOKENS)
