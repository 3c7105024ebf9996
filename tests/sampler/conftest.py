"""Pools to rank: small, seeded, and with everything that a strategy may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sampler.query import QueryContext

ContextMaker = Callable[..., QueryContext]


def probabilities_for(features: np.ndarray, n_classes: int) -> np.ndarray:
    """Smooth probabilities that hang on a row's features alone."""
    logits = features[:, :1].astype(np.float64) * np.arange(1, n_classes + 1) * 3.0
    logits += np.cos(features[:, 1:2].astype(np.float64) * np.arange(n_classes))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.fixture
def make_context() -> ContextMaker:
    """Makes a context over ``n`` random points with the first rows labelled; any field can be replaced."""

    def make(
        n: int = 120, d: int = 6, n_classes: int = 3, n_labeled: int = 12, seed: int = 0, **changes: Any
    ) -> QueryContext:
        rng = np.random.default_rng(99)
        features = changes.pop("features", rng.normal(size=(n, d)).astype(np.float16))
        labeled = changes.pop("labeled", np.arange(min(n_labeled, len(features))))
        candidates = changes.pop("candidates", np.setdiff1d(np.arange(len(features)), labeled))
        if "probabilities" not in changes:
            changes["probabilities"] = probabilities_for(features[candidates], n_classes)
        fields: dict[str, Any] = {
            "features": features,
            "candidates": candidates,
            "labeled": labeled,
            "y": changes.pop("y", labeled % n_classes),
            "n_classes": n_classes,
            "rng": np.random.default_rng(seed),
            "batch_size": 5,
        }
        return QueryContext(**(fields | changes))

    return make
