"""What a student is trained to match: its teacher's soft labels, and the labels that people gave."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from models.students.protocol import FloatArray, IntArray


def soften(probabilities: NDArray[np.floating], temperature: float) -> FloatArray:
    """Probabilities (n, C) at a temperature: p^(1/T), normalised; above 1 they are flatter.

    >>> soften(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]
    """
    powered = np.power(np.clip(probabilities, 1e-9, 1.0), 1.0 / temperature)
    softened: FloatArray = (powered / powered.sum(1, keepdims=True)).astype(np.float32)
    return softened


def one_hot(y: IntArray, n_classes: int, smoothing: float = 0.0) -> FloatArray:
    """Targets (n, C) of labels (n,): 1 − smoothing on the label, the rest spread evenly over all classes."""
    target = np.full((len(y), n_classes), smoothing / n_classes, np.float32)
    target[np.arange(len(y)), y] += 1.0 - smoothing
    return target


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean of −Σ target · log softmax(logits); all (n, C), weight (n,).

    Up to the teacher's own entropy this is the Kullback–Leibler divergence of Hinton, Vinyals & Dean (2015).
    """
    losses = -(target * torch.log_softmax(logits, 1)).sum(1)
    return (losses * weight).sum() / weight.sum()


def fit_scale(logits: FloatArray, soft: FloatArray, weight: FloatArray | None = None) -> float:
    """The s in 0.05 … 20 for which softmax(s · logits) is nearest to the probabilities ``soft``; both (n, C).

    The cross-entropy, weighted by ``weight`` (n,) where given, is convex in s, so its slope
    Σ (softmax(s · logits) − soft) · logits is bisected.
    """
    Z = logits.astype(np.float64)
    counted = Z if weight is None else Z * weight.astype(np.float64)[:, None]
    low, high = math.log(0.05), math.log(20.0)
    for _ in range(40):
        middle = (low + high) / 2
        exponent = math.exp(middle) * Z
        exponent -= exponent.max(1, keepdims=True)
        P = np.exp(exponent)
        P /= P.sum(1, keepdims=True)
        if float(((P - soft) * counted).sum()) > 0:
            high = middle
        else:
            low = middle
    return math.exp((low + high) / 2)
