"""Leaving a transformer student after its first layer where it is sure, beside a cascade that asks a quick one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.transformer_cells import Cell, Texts, trained

if TYPE_CHECKING:
    from models.students.student import Student

FloatArray = NDArray[np.float32]

_ASIDE, _HEAD_ROWS = 2_000, 4_000
#: How often what answers first must say what the whole student says, on rows kept aside.
_AGREEMENTS = (0.98, 0.99, 0.995)
_BATCH = 256


def exits(texts: Texts, cells: Sequence[Cell]) -> dict[str, Any]:
    """Costs, in layers a text, and accuracies of ways to spare layers of the deepest of the cells' students.

    ``exit`` has a head of its own after the first layer, fitted to the teacher's answers. ``one layer`` is a student
    of one layer in its stead, trained for nothing else: what an exit trained along could be at best. The family that
    is cut from no encoder (``static``) is the cascade; its own cost is a few hundredths of a layer and is left out.
    Thresholds are the lowest at which the answers of first and last together are those of the last as often as wanted,
    on pool rows that have no label.
    """
    found = {cell.family: trained(cell, texts)[0] for cell in cells}
    deepest = max((name for name in found if name.startswith("transformer")), key=lambda name: int(name[-1]))
    depth, quick = int(deepest[-1]), next(name for name in found if not name.startswith("transformer"))
    unlabelled = np.setdiff1d(np.arange(len(texts.pool)), texts.labelled)
    rows = np.random.default_rng(3).permutation(unlabelled)
    aside, fitted = np.split(rows[: _ASIDE + _HEAD_ROWS], [min(_ASIDE, len(rows) // 3)])
    sets = [[texts.pool[row] for row in aside], texts.test]
    last = [found[deepest].predict_proba(items) for items in sets]
    firsts = {
        "exit": (_exit_head(found[deepest], texts, fitted, sets), 1.0, 1.0),
        "one layer": ([found["transformer-1"].predict_proba(items) for items in sets], 1.0, 1.0),
        quick: ([found[quick].predict_proba(items) for items in sets], 0.0, 0.0),
    }
    table = [
        _row(name, first, last, cost, shared, depth, wanted, texts)
        for name, (first, cost, shared) in firsts.items()
        for wanted in _AGREEMENTS
    ]
    whole = float((last[1].argmax(1) == texts.y[1]).mean())
    return {"set": texts.name, "labels": texts.labels, "student": deepest, "accuracy": whole, "ways": table}


def _row(
    name: str,
    first: Sequence[FloatArray],
    last: Sequence[FloatArray],
    cost: float,
    shared: float,
    depth: int,
    wanted: float,
    texts: Texts,
) -> dict[str, Any]:
    """One threshold: ``cost`` layers for everybody, and ``depth - shared`` for those that go on."""
    threshold = choose_threshold(first[0], last[0], wanted)
    sure = first[1].max(1) >= threshold
    answers = np.where(sure, first[1].argmax(1), last[1].argmax(1))
    passed = float(1 - sure.mean())
    return {
        "first": name,
        "agreement_wanted": wanted,
        "accuracy_alone": float((first[1].argmax(1) == texts.y[1]).mean()),
        "threshold": threshold,
        "passed_on": passed,
        "accuracy": float((answers == texts.y[1]).mean()),
        "layers": cost + passed * (depth - shared),
    }


def choose_threshold(first: FloatArray, last: FloatArray, wanted: float) -> float:
    """The lowest confidence of ``first`` from which on both together agree with ``last`` as often as wanted.

    >>> first = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.55, 0.45]], np.float32)
    >>> last = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    >>> round(choose_threshold(first, last, 1.0), 2), round(choose_threshold(first, last, 0.75), 2)
    (0.8, 0.55)
    """
    sure = first.max(1)
    order = np.argsort(-sure, kind="stable")
    differs = np.cumsum((first.argmax(1) != last.argmax(1))[order])
    fine = np.flatnonzero(1 - differs / len(sure) >= wanted)
    return float(sure[order[fine[-1]]]) if len(fine) else 1.1


def _exit_head(student: Student, texts: Texts, rows: NDArray[np.int64], sets: Sequence[list[str]]) -> list[FloatArray]:
    """Probabilities of a linear head over the first layer's means, fitted to the teacher's answers on some rows."""
    from models.teachers import LogisticTeacher

    states = _first_states(student, [texts.pool[row] for row in rows])
    taught = texts.taught(texts.features[rows]).argmax(1)
    head = LogisticTeacher.fit(states, taught, len(texts.class_names), rng=np.random.default_rng(0), C=1.0, pool=states)
    return [head.predict_proba(_first_states(student, items)) for items in sets]


def _first_states(student: Student, items: Sequence[str]) -> FloatArray:
    import torch

    inputs = student.network.prepare(items)
    with torch.inference_mode():
        parts = [
            student.network.states(*inputs.batch(np.arange(start, min(start + _BATCH, len(items)))))[0].numpy()
            for start in range(0, len(items), _BATCH)
        ]
    return np.concatenate(parts)
