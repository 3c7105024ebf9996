"""When labels choose between the encoders of ``auto``, and on which of them: the same for projects and simulations.

Arrays only: no database, no files. From `LEAST_LABELS` labels on, and again when they have grown fourfold, a head on
each encoder's rows of the labelled items is cross-validated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoder_choice import FIRST_MARGIN, LATER_MARGIN, EncoderChoice, choose_encoder
from models.encoders import resolve_auto
from winnow.project_settings import FINETUNED, TRANSFORMERS

COMPARED = ("minilm", "hashed")
LEAST_LABELS = 100
REGROWTH = 4
MOST_ROWS = 1_000
"""Labels that are compared on, drawn at random where there are more: each is encoded by the other encoder."""

IntArray = NDArray[np.int64]


def labels_choose(encoder: str, student: str, teacher: str) -> bool:
    """Whether settings leave the encoder to the labels: ``auto``, and nothing that is made from an encoder's layers.

    >>> labels_choose("auto", "auto", "auto"), labels_choose("auto", "transformer-2", "auto")
    (True, False)
    """
    return encoder == "auto" and student not in TRANSFORMERS and teacher not in FINETUNED


def comparison_is_due(present: str, labels: int, n_classes: int, compared_at: int | None) -> bool:
    """Whether there is something to choose, and labels are enough for it, or many more than the last time.

    Args:
        present: The encoder that ``auto`` stands for now.
        labels: How many there are.
        n_classes: How many classes they name.
        compared_at: How many there were at the last comparison; None before the first.
    """
    if present not in COMPARED or resolve_auto("auto", "text") == "hashed":
        return False
    return labels >= (LEAST_LABELS if compared_at is None else REGROWTH * compared_at) and n_classes > 1


def other_encoder(present: str) -> str:
    """The one that ``present`` is compared with.

    >>> other_encoder("minilm")
    'hashed'
    """
    [other] = [name for name in COMPARED if name != present]
    return other


def compare_encoders(
    rows_of: Callable[[IntArray], Mapping[str, NDArray[np.floating[Any]]]],
    y: IntArray,
    exploration: NDArray[np.bool_],
    *,
    present: str,
    is_first: bool,
    rng: np.random.Generator,
) -> EncoderChoice:
    """What the labels say of both encoders; a second comparison asks for more than the first.

    Args:
        rows_of: Gives each encoder's rows of the labels at some places 0 … n - 1, by its name.
        y: Classes of the labels, (n,).
        exploration: Which were drawn uniformly, (n,).
        present: The encoder that is there.
        is_first: Whether nothing was compared before.
        rng: Draws the labels where there are more than `MOST_ROWS`, and deals the folds.
    """
    places = np.sort(rng.permutation(len(y))[:MOST_ROWS])
    return choose_encoder(
        rows_of(places),
        y[places],
        exploration[places],
        present=present,
        margin=FIRST_MARGIN if is_first else LATER_MARGIN,
        labels=len(y),
        rng=rng,
    )
