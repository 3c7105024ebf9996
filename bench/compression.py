"""Compressing an encoder step by step, each measured beside the one before it; what does not pay is left out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.encoder_cost import Make, compact_runner, memory_mb, race, torch_runner
from models.compression.compact import Compact, text_pieces
from models.compression.material import EncoderState, Material
from models.compression.network import EncoderNetwork, embed
from models.compression.steps import Step, apply_step, quantises, takes_structure, to_compact
from models.compression.structure import Shape
from models.compression.verdict import Measured, judge
from models.encoder_minilm import CALIBRATION_TEXTS
from models.errors import BadInput

if TYPE_CHECKING:
    from worker.dataset import Dataset

ASIDE = 200
"""Texts that nothing is learned from, on which the cosine is taken."""
TORCH, WHOLE = "torch fp32", "onnx fp32"
QUANTISED = "onnx int8"
"""Row of the whole encoder in INT8: what quantising alone would have given, where other steps come first."""
_BATCH = 64
_CV_LABELS = 1_000

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Texts and class indices to train heads on, and others to measure them on."""

    texts: list[str]
    y: IntArray
    test_texts: list[str]
    test_y: IntArray

    @classmethod
    def of(cls, labels: Dataset, test: Dataset | None, rng: np.random.Generator) -> Labelled:
        """From one file, of which a third measures, or from two.

        Raises:
            BadInput: Fewer than two classes, or too few rows.
        """
        names = sorted({*labels.labels, *(test.labels if test else ())})
        texts, y = [str(text) for text in labels.items], np.array([names.index(name) for name in labels.labels])
        if test is not None:
            test_y = np.array([names.index(name) for name in test.labels], np.int64)
            made = cls(texts, y, [str(text) for text in test.items], test_y)
        else:
            order = rng.permutation(len(texts))
            measured, trained = order[: len(order) // 3], order[len(order) // 3 :]
            made = cls([texts[row] for row in trained], y[trained], [texts[row] for row in measured], y[measured])
        if len(np.unique(made.y)) < 2 or len(made.test_y) < 2:
            raise BadInput("The labels must be of two classes at least, and leave some rows to measure on.")
        return made


class Compression:
    """One run of ``winnow compress``.

    Args:
        whole: The encoder to begin with.
        texts: Of the pool, in a random order; some are kept aside.
        labelled: For accuracy and agreement; None to do without.
        least_kept: Share of the whole encoder's accuracy that must be left.
        say: Told what is going on.
        options: For `Material`: ``rng``, ``epochs``, ``threads``.
    """

    def __init__(
        self,
        whole: EncoderState,
        texts: Sequence[str],
        labelled: Labelled | None,
        *,
        least_kept: float,
        say: Callable[[str, float], None],
        **options: Any,
    ):
        aside = min(ASIDE, len(texts) // 5)
        self._aside = list(texts[:aside]) or list(CALIBRATION_TEXTS)
        self._material = Material(whole, texts[aside:], progress=say, **options)
        self._labelled, self._least_kept, self._say = labelled, least_kept, say
        self._whole = whole
        self._sample = [*(labelled.test_texts if labelled else self._aside)]
        while len(self._sample) < _BATCH:
            self._sample *= 2
        self._sample = self._sample[:_BATCH]

    def run(self, steps: Sequence[Step]) -> tuple[Compact, EncoderState, dict[str, Any]]:
        """Try the steps in turn; gives the encoder that is left, as it is stored and as it is, and the report."""
        state, compact = self._whole, to_compact(self._whole, self._material)
        makes: dict[str, Make] = {TORCH: torch_runner(self._whole), WHOLE: compact_runner(compact)}
        self._say("measuring the whole encoder", 0.0)
        whole = before = self._measured(compact, {})
        rows = [_row(TORCH, None, "", whole, Shape.of(state.weights)), _row(WHOLE, None, "", whole, None)]
        if not quantises(steps[0]) and any(map(quantises, steps)):
            rows.append(self._quantised(QUANTISED, self._whole, makes))
        kept: list[str] = []
        for place, step in enumerate(steps):
            name = str(step)
            tried = apply_step(state, step, self._material)
            candidate = to_compact(tried, self._material)
            self._say(f"measuring {name}", (place + 0.5) / len(steps))
            makes[name] = compact_runner(candidate)
            pair = {"before": compact_runner(compact), "after": makes[name]}
            speeds = race(pair, self._sample, threads=(1,))  # seconds of CPU: what decides must not hang on the load
            after = self._measured(candidate, speeds["after"])
            before = replace(before, texts_per_second=speeds["before"])
            verdict = judge(after, before, whole, least_kept=self._least_kept)
            rows.append(_row(name, verdict.kept, verdict.why, after, Shape.of(tried.weights)))
            if verdict.kept:
                state, compact, before = tried, candidate, after
                kept.append(name)
                if _leads_on(steps[place:]):
                    rows.append(self._quantised(f"{name} in int8", state, makes))
        self._say("timing all of them side by side", 1.0)
        self._add_speeds(rows, race(makes, self._sample))
        rows[0] |= {"mb": _mb(sum(value.nbytes for value in self._whole.weights.values())), "zipped_mb": None}
        rows[0]["memory_mb"] = memory_mb(torch_runner(self._whole), self._sample)
        return compact, state, {**self._data(), "kept": kept, "steps": rows}

    def _quantised(self, name: str, state: EncoderState, makes: dict[str, Make]) -> dict[str, Any]:
        """The row of what quantising would give here, which a longer run only does at its end."""
        compact = to_compact(replace(state, form="int8"), self._material)
        makes[name] = compact_runner(compact)
        return _row(name, None, "", self._measured(compact, {}), Shape.of(state.weights))

    def _data(self) -> dict[str, Any]:
        labelled = self._labelled
        return {
            "texts": len(self._material.texts),
            "aside": len(self._aside),
            "labels": None if labelled is None else {"train": len(labelled.y), "test": len(labelled.test_y)},
        }

    def _add_speeds(self, rows: Sequence[dict[str, Any]], speeds: dict[str, dict[str, float]]) -> None:
        reference = speeds[TORCH]
        for row in rows:
            mine = speeds[row["step"]]
            row["texts_per_second"] = {name: round(value, 1) for name, value in mine.items()}
            row["times_torch"] = {name: round(value / reference[name], 2) for name, value in mine.items()}

    def _measured(self, compact: Compact, speeds: dict[str, float]) -> Measured:
        network = compact.network()
        accuracy, agreement = self._right(network.run) if self._labelled is not None else (None, None)
        size = len(compact.model) + len(compact.tokenizer.encode())
        zipped = sum(len(zlib.compress(data, 1)) for data in (compact.model, compact.tokenizer.encode()))
        cosine = float((network.run(self._aside) * self._reference).sum(1).mean())
        memory = memory_mb(compact_runner(compact), self._sample)
        return Measured(size, zipped, speeds, memory, cosine, accuracy, agreement)

    @cached_property
    def _reference(self) -> FloatArray:
        pieces = text_pieces(self._whole.tokenizer, self._aside)
        return embed(EncoderNetwork(self._whole.weights), pieces)

    def _right(self, run: Callable[[Sequence[str]], FloatArray]) -> tuple[float, float]:
        """Accuracy of a head on this encoder's embeddings, and agreement with the whole encoder's head.

        The first one asked about is the whole encoder; how strongly its head is held back serves all others.
        """
        from models.teachers import LogisticTeacher

        labelled = self._labelled
        if labelled is None:
            raise ValueError("there are no labels")
        X, rng = run(labelled.texts), np.random.default_rng(0)
        n_classes = int(max(labelled.y.max(), labelled.test_y.max())) + 1
        if not hasattr(self, "_strength"):
            some = slice(0, _CV_LABELS)
            self._strength = LogisticTeacher.fit(X[some], labelled.y[some], n_classes, rng=rng).C
        head = LogisticTeacher.fit(X, labelled.y, n_classes, rng=rng, C=self._strength)
        answers = head.predict_proba(run(labelled.test_texts), threads=1).argmax(1)
        if not hasattr(self, "_answers"):
            self._answers = answers
        return float((answers == labelled.test_y).mean()), float((answers == self._answers).mean())


def _leads_on(steps: Sequence[Step]) -> bool:
    """Whether the first step takes structure out and more is done before the encoder is quantised."""
    return takes_structure(steps[0]) and any(map(quantises, steps[2:])) and not quantises(steps[1])


def _row(step: str, kept: bool | None, why: str, measured: Measured, shape: Shape | None) -> dict[str, Any]:
    return {
        "step": step,
        "kept": kept,
        "why": why,
        "mb": _mb(measured.bytes),
        "zipped_mb": _mb(measured.zipped_bytes),
        "memory_mb": measured.memory_mb,
        "cosine": round(measured.cosine, 4),
        "accuracy": None if measured.accuracy is None else round(measured.accuracy, 4),
        "agreement": None if measured.agreement is None else round(measured.agreement, 4),
        "shape": None if shape is None else shape.to_dict(),
    }


def _mb(size: int) -> float:
    return round(size / 1e6, 2)
