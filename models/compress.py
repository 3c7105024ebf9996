"""INT8 students under a parity rule: what quantisation would change too much stays fp32, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from models.errors import ParityError
from models.export.layers import Quantisable, Table, layers_of
from models.export.onnx_graph import Range, build_graph
from models.export.transformer_graph import compress_transformer
from models.students.protocol import FloatArray, IntArray, Network, RawItem
from models.students.student import Student
from models.students.transformer import TransformerNetwork
from models.threads import torch_threads
from predictor.runtime import Predictor

LEAST_AGREEMENT = 0.99
MOST_LOST = 0.01
LEAST_MEASURED = 200
"""From this many measured labels on, accuracy counts too."""
MOST_ITEMS = 5_000
_CALIBRATION = 512
_TAIL = 1e-4  # of the values on each side that a range may leave out: one outlier must not cost the others their digits


@dataclass(frozen=True)
class Parity:
    """How near an exported graph is to the fp32 student.

    Attributes:
        agreement: Share of ``items`` with the same label.
        items: How many items of the pool were compared.
        accuracy: Of the graph on the measured labels; None where there are none.
        accuracy_fp32: Of the student on them.
        measured: How many measured labels there were.
    """

    agreement: float
    items: int
    accuracy: float | None
    accuracy_fp32: float | None
    measured: int

    @property
    def failure(self) -> str | None:
        """Why the graph must not be handed out, or None."""
        if self.items and self.agreement < LEAST_AGREEMENT:
            return f"it agrees on {self.agreement:.2%} of {self.items} items, {LEAST_AGREEMENT:.0%} are needed"
        if self.measured < LEAST_MEASURED or self.accuracy is None or self.accuracy_fp32 is None:
            return None
        if self.accuracy < self.accuracy_fp32 - MOST_LOST - 1e-9:
            return f"its accuracy is {self.accuracy:.2%} instead of {self.accuracy_fp32:.2%} on {self.measured} labels"
        return None

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Compressed:
    """A graph that passed: the serialised model, its parity, and how each layer is stored (int8 or fp32)."""

    model: bytes
    parity: Parity
    layers: dict[str, str]


class _Judge:
    """Compares graphs with one student on the same items."""

    def __init__(self, student: Student, items: Sequence[RawItem], measured: tuple[Sequence[RawItem], IntArray] | None):
        self.student, self.items = student, items
        self.own = student.predict_proba(items).argmax(1) if len(items) else np.zeros(0, np.int64)
        self.measured, self.y = measured if measured else ([], np.zeros(0, np.int64))
        self.right = self._accuracy(student.predict_proba(self.measured)) if len(self.y) else None

    def __call__(self, model: bytes) -> Parity:
        student = self.student
        predictor = Predictor(model, student.class_names, student.task, student.network.preprocess())
        same = 1.0
        if len(self.items):
            same = float((predictor.predict_proba(self.items).argmax(1) == self.own).mean())
        accuracy = self._accuracy(predictor.predict_proba(self.measured)) if len(self.y) else None
        return Parity(same, len(self.items), accuracy, self.right, len(self.y))

    def _accuracy(self, probabilities: FloatArray) -> float:
        return float((probabilities.argmax(1) == np.asarray(self.y)).mean())


def compress(
    student: Student,
    *,
    calibration: Sequence[RawItem],
    items: Sequence[RawItem],
    measured: tuple[Sequence[RawItem], IntArray] | None = None,
    int8: bool = True,
) -> Compressed:
    """Quantise as many layers of a student as the parity rule allows.

    Args:
        student: The fp32 student.
        calibration: Items whose activations give the ranges; where there are none, only a table can be quantised.
        items: Random items of the pool, of which the first `MOST_ITEMS` are compared.
        measured: Items with labels that were not trained on, and their class indices.
        int8: False exports the fp32 graph, under the same rule.

    Raises:
        ParityError: even with all layers in fp32 the graph does not predict what the student does.
    """
    judge = _Judge(student, items[:MOST_ITEMS], measured)
    if isinstance(student.network, TransformerNetwork):
        return Compressed(*compress_transformer(student.network, judge, calibration if int8 else None))
    names = [layer.name for layer in layers_of(student.network) if isinstance(layer, Quantisable)]
    ranges = activation_ranges(student, calibration[:_CALIBRATION]) if int8 else {}

    def attempt(wanted: Sequence[str]) -> Compressed:
        model = build_graph(student, {name: ranges[name] for name in wanted}).SerializeToString(deterministic=True)
        layers = {name: "int8" if name in wanted else "fp32" for name in names}
        return Compressed(model, judge(model), layers)

    wanted = [name for name in names if name in ranges]
    result = attempt(wanted)
    if result.parity.failure and len(wanted) > 1:
        # The layer that does most harm alone is the first to stay fp32.
        wanted.sort(key=lambda name: _quality(attempt([name]).parity), reverse=True)
    while result.parity.failure and wanted:
        wanted.pop()
        result = attempt(wanted)
    if result.parity.failure:
        raise ParityError(result.parity.failure + ", with every layer in fp32")
    return result


def _quality(parity: Parity) -> tuple[float, float]:
    return parity.agreement, parity.accuracy or 0.0


def activation_ranges(student: Student, items: Sequence[RawItem]) -> dict[str, Range | None]:
    """The range of each layer's input over some items; a table reads no activations and has None."""
    network = student.network
    ranges: dict[str, Range | None] = {layer.name: None for layer in layers_of(network) if isinstance(layer, Table)}
    watched = _watched(network)
    if not watched or not len(items):
        return ranges
    seen: dict[str, list[FloatArray]] = {name: [] for name in watched}

    def watch(name: str, module: torch.nn.Module) -> torch.utils.hooks.RemovableHandle:
        return module.register_forward_pre_hook(lambda _, inputs: seen[name].append(inputs[0].numpy().ravel()))

    handles = [watch(name, module) for name, module in watched.items()]
    try:
        with torch_threads(1), torch.inference_mode():
            network(*network.prepare(items).batch(np.arange(len(items))))
    finally:
        for handle in handles:
            handle.remove()
    for name, parts in seen.items():
        low, high = np.quantile(np.concatenate(parts), [_TAIL, 1 - _TAIL])
        ranges[name] = (float(low), float(high))
    return ranges


def _watched(network: Network) -> Mapping[str, torch.nn.Module]:
    """The modules whose inputs are the inputs of the layers of the same name."""
    modules = dict(network.named_modules())
    names: dict[str, str] = {}
    for layer in layers_of(network):
        if isinstance(layer, Table) or not isinstance(layer, Quantisable):
            continue
        number = layer.name.removeprefix("conv")
        names[layer.name] = f"blocks.{int(number) - 1}.conv" if number.isdigit() else layer.name
    return {name: modules[path] for name, path in names.items()}
