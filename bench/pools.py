"""A pool of texts with features and known classes, as a round gets it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.texts import labelled_texts, recombined

if TYPE_CHECKING:
    from worker.round_data import RoundData


@dataclass(frozen=True)
class TextPool:
    """Texts, their features (n, d) and class indices (n,); a random order in which they are labelled."""

    texts: list[str]
    features: NDArray[np.float32]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    order: NDArray[np.int64]
    source: str

    def as_round_data(self, n_labels: int) -> RoundData:
        """The round's input with the first ``n_labels`` texts of the order labelled."""
        from worker.round_data import RoundData

        labelled = np.sort(self.order[:n_labels])
        return RoundData(
            task="text",
            class_names=self.class_names,
            features=self.features,
            raw=lambda rows: [self.texts[row] for row in rows],
            labeled_rows=labelled,
            y=self.y[labelled],
            exploration=np.ones(n_labels, dtype=bool),
            candidate_rows=np.sort(self.order[n_labels:]),
        )


def make_pool(rows: int, *, encoder: str, name: str = "agnews", grown: bool = False) -> TextPool:
    """``rows`` texts of a set, encoded: fewer where it has fewer, or where ``grown`` made up of their halves."""
    from models.encoders import make_encoder

    texts, labels, source = labelled_texts(rows, name)
    if grown and len(texts) < rows:
        source = f"{source}, {len(texts)} as they are and the rest of the halves of two"
        texts, labels = recombined(texts, labels, rows)
    class_names = tuple(sorted(set(labels)))
    with tempfile.TemporaryDirectory() as cache:
        made = make_encoder(encoder, "text", cache=Path(cache))
        made.fit(texts, np.random.default_rng(0))
        features = made.encode(texts).features
    y = np.array([class_names.index(label) for label in labels], dtype=np.int64)
    return TextPool(texts, features, y, class_names, np.random.default_rng(1).permutation(len(texts)), source)
