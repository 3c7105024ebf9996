"""Distillation: a small student learns a teacher's soft labels over the pool, with people's labels mixed in."""

from __future__ import annotations

import copy
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike

from models.augmentation import mix_pairs
from models.curriculum import WHOLE_FROM, entropies, epoch_order, make_curriculum
from models.errors import BadInput
from models.losses import cross_entropy, fit_scale, one_hot, soften
from models.matching import FeatureMatch, make_match
from models.softmax import single_blas_thread
from models.students import network_class
from models.students.protocol import Arrays, FloatArray, Inputs, IntArray, Network, RawItem
from models.students.student import Student
from models.threads import torch_threads
from models.trunks import Trunk

WARM_EPOCHS = 2
LABEL_WEIGHT = 2.0
"""What a label counts beside one soft label."""
TEMPERATURE = 0.5
"""Of the soft labels: sharpened ones gave students half a point to a point more, and never less."""
TEACHER_COUNTS = 20.0
"""How many labels the teacher counts for where labels say how sure a student may be."""
_LEAST_FOR_SPLIT = 200
_SPLIT_ONE_IN = 20
_SPLIT_MOST = 500
_PATIENCE = 4
_LEAST_RATE = 0.02
_LEAST_STEPS = 120


@dataclass(frozen=True)
class DistilReport:
    """How the training went.

    Attributes:
        warm: Whether it began from the previous student.
        epochs: Passes that were made.
        best_epoch: The one whose weights were kept; 0 is the start of a warm one.
        loss: Cross-entropy against the targets on the rows kept aside, or on all where there are too few.
        n_transfer: Soft labels learned from.
        n_labeled: Labels of people learned from.
        temperature: Of the soft labels.
        seconds: Wall time, preparation of the items included.
        flops: Of the training, a backward pass counted as two forward ones.
        calibrated_on: Labels that said how sure the student may be; 0 where only its teacher did.
        scale: What its logits are multiplied by for that.
        matched: Whether features were matched too.
        cut_share: Share of the texts that the student does not read to their end; None where it reads everything.
    """

    warm: bool
    epochs: int
    best_epoch: int
    loss: float
    n_transfer: int
    n_labeled: int
    temperature: float
    seconds: float
    flops: float
    calibrated_on: int = 0
    scale: float = 1.0
    matched: bool = False
    cut_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For a round's metrics."""
        return asdict(self)


@dataclass(frozen=True)
class Distilled:
    """A trained student and how it came about."""

    student: Student
    report: DistilReport


def distil(
    family: str,
    items: Sequence[RawItem],
    soft: ArrayLike,
    labeled_items: Sequence[RawItem],
    y: ArrayLike,
    *,
    class_names: Sequence[str],
    rng: np.random.Generator,
    previous: Arrays | None = None,
    temperature: float = TEMPERATURE,
    label_weight: float = LABEL_WEIGHT,
    epochs: int | None = None,
    features: ArrayLike | None = None,
    trunk: Trunk | None = None,
    threads: int = 1,
    curriculum: str = "shuffled",
    mixed_share: float = 0.0,
    calibration: tuple[Sequence[RawItem], ArrayLike] | None = None,
) -> Distilled:
    """Train a student of a family on soft labels of the pool and on labels.

    Args:
        family: ``static``, ``static-pieces``, ``hashed`` or ``transformer-1`` to ``-3`` (texts), ``convnet`` (encoded
            images) or ``mlp`` (feature vectors).
        items: n raw items of the pool; they also decide the shape of a fresh student.
        soft: The teacher's probabilities for them, (n, C).
        labeled_items: l raw items with labels; they may be among ``items`` too.
        y: Their class indices, (l,).
        class_names: C names, in the order of the columns of ``soft``.
        rng: All randomness comes from it.
        previous: Arrays of an earlier student of this family: training starts from it and is short. Where its shape is
            another one (a class was added), it is left aside and the start is cold.
        temperature: Flattens the soft labels when above 1, sharpens them below. What the student then answers is scaled
            back to the teacher's own sureness.
        label_weight: What a label counts beside a soft label.
        epochs: Passes over the items; by default the family's number, or `WARM_EPOCHS` for a warm start.
        features: The teacher's features of the items, (n, d): families whose ``reads_features`` is ``cold`` begin from
            them, those whose it is ``always`` are drawn to them in training, or to (n, k, d), one set for each of their
            last k layers; others leave them aside.
        trunk: The encoder's lower layers, for a family that is cut from them.
        threads: Of torch.
        curriculum: In which order items are met: one of `models.curriculum.CURRICULA`.
        mixed_share: Of the items that are mixed with another one in training (`models.augmentation.mix_pairs`).
        calibration: Items in neither ``items`` nor ``labeled_items``, drawn uniformly, and their class indices.
            What the student answers is then scaled to be as sure as it is right on them; their teacher is no measure of
            that, since student and teacher do not err on the same items.

    Returns:
        The student with the best weights seen, and a report. Same inputs and same ``rng``: the same student.

    Raises:
        BadInput: shapes do not match, there is nothing to learn from, or an item cannot be read.
    """
    started = time.perf_counter()
    calibration = _check_options(curriculum, mixed_share, calibration, len(class_names))
    target, weight = _targets(items, soft, labeled_items, y, len(class_names), temperature, label_weight)
    with torch_threads(threads), single_blas_thread():  # or the same inputs would not give the same bits
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        first = items if len(items) else labeled_items
        network, warm = _start(family, first, len(class_names), previous, generator, trunk)
        if mixed_share and network.matches:
            raise BadInput(f"Students of the family {family!r} read word pieces, which cannot be mixed; mix no items.")
        inputs = network.prepare([*items, *labeled_items])
        if features is not None and len(items) and not warm and network.reads_features == "cold":
            network.begin_from(inputs, _features(features, len(items)))
        match = make_match(network, features, len(items), generator)
        passes = epochs if epochs is not None else (WARM_EPOCHS if warm else network.epochs)
        fit = _Fit(network, inputs, target, weight, _aside(items), rng, curriculum, mixed_share, match)
        made, best, loss = fit.run(passes, warm)
        network.scale, n_calibrated = fit.scale(np.asarray(soft, np.float32), calibration)
        flops = 3.0 * made * network.flops(inputs)
    report = DistilReport(
        warm=warm,
        epochs=made,
        best_epoch=best,
        loss=loss,
        n_transfer=len(items),
        n_labeled=len(labeled_items),
        temperature=temperature,
        seconds=time.perf_counter() - started,
        flops=flops,
        calibrated_on=n_calibrated,
        scale=network.scale,
        matched=match is not None,
        cut_share=getattr(inputs, "cut_share", None),
    )
    return Distilled(Student(network, tuple(class_names)), report)


def _targets(
    items: Sequence[RawItem],
    soft: ArrayLike,
    labeled_items: Sequence[RawItem],
    y: ArrayLike,
    n_classes: int,
    temperature: float,
    label_weight: float,
) -> tuple[FloatArray, FloatArray]:
    P = np.asarray(soft, np.float64).reshape(-1, n_classes) if len(items) == 0 else np.asarray(soft, np.float64)
    labels = np.asarray(y, np.int64)
    if n_classes < 2:
        raise BadInput("A student needs two classes at least.")
    if P.shape != (len(items), n_classes):
        raise BadInput(f"Soft labels of shape {P.shape} for {len(items)} items and {n_classes} classes.")
    if labels.shape != (len(labeled_items),):
        raise BadInput(f"Labels of shape {labels.shape} for {len(labeled_items)} labelled items.")
    if not len(items) and not len(labels):
        raise BadInput("There is nothing to learn from: no soft labels and no labels.")
    if not np.isfinite(P).all() or (P < 0).any():
        raise BadInput("Soft labels must be probabilities.")
    if len(labels) and not (labels.min() >= 0 and labels.max() < n_classes):
        raise BadInput(f"Labels must be class indices from 0 to {n_classes - 1}.")
    if temperature <= 0:
        raise BadInput(f"The temperature must be positive, not {temperature}.")
    target = np.concatenate([soften(P, temperature), one_hot(labels, n_classes)])
    weight = np.ones(len(target), np.float32)
    weight[len(items) :] = label_weight
    return target, weight


def _features(features: ArrayLike, n: int) -> FloatArray:
    X = np.asarray(features, np.float32)
    if X.ndim != 2 or len(X) != n:
        raise BadInput(f"Features of shape {X.shape} for {n} items.")
    if not np.isfinite(X).all():
        raise BadInput("Features must be finite.")
    return X


def _check_options(
    curriculum: str, mixed_share: float, calibration: tuple[Sequence[RawItem], ArrayLike] | None, n_classes: int
) -> tuple[Sequence[RawItem], IntArray] | None:
    """Refuse what means nothing; gives the items to calibrate on with their labels as an array."""
    make_curriculum(curriculum)
    if not 0 <= mixed_share <= 1:
        raise BadInput(f"The share of mixed items must lie in 0 … 1, not {mixed_share}.")
    if calibration is None:
        return None
    items, y = calibration[0], np.asarray(calibration[1], np.int64)
    if y.shape != (len(items),) or (len(y) and not 0 <= y.min() <= y.max() < n_classes):
        raise BadInput(f"Labels for calibration must be one class index from 0 to {n_classes - 1} for each item.")
    return items, y


def _start(
    family: str,
    items: Sequence[RawItem],
    n_classes: int,
    previous: Arrays | None,
    generator: torch.Generator,
    trunk: Trunk | None,
) -> tuple[Network, bool]:
    """The network to train, and whether it goes on from the previous one."""
    kind = network_class(family)
    if previous is not None:
        try:
            network = kind.restore(previous)
        except (KeyError, ValueError, RuntimeError, IndexError):
            network = None
        if network is not None and network.n_classes == n_classes:
            return network, True
    if trunk is not None:
        return kind.cut(trunk, items, n_classes, generator), False
    return kind.create(items, n_classes, generator), False


def _aside(items: Sequence[RawItem]) -> IntArray:
    """Rows of the transfer set that only say when to stop: none of a small set, else about one in twenty.

    They are picked by what they hold, so that the next round's warm start has not been trained on them either.
    """
    if len(items) < _LEAST_FOR_SPLIT:
        return np.zeros(0, np.int64)
    marks = np.fromiter((zlib.crc32(_bytes(item)) for item in items), np.int64, len(items))
    chosen = np.flatnonzero(marks % _SPLIT_ONE_IN == 0)
    return np.sort(chosen[np.argsort(marks[chosen], kind="stable")][:_SPLIT_MOST])


def _bytes(item: RawItem) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    return item if isinstance(item, bytes) else np.asarray(item, np.float32).tobytes()


class _Fit:
    """One training run: batches in a seeded order, the rate along half a cosine, the best weights kept."""

    def __init__(
        self,
        network: Network,
        inputs: Inputs,
        target: FloatArray,
        weight: FloatArray,
        aside: IntArray,
        rng: np.random.Generator,
        curriculum: str = "shuffled",
        mixed_share: float = 0.0,
        match: FeatureMatch | None = None,
    ):
        self.network, self.inputs, self.rng, self.match = network, inputs, rng, match
        self.curriculum, self.mixed_share = curriculum, mixed_share
        self.target, self.weight = torch.from_numpy(target), torch.from_numpy(weight)
        rows = np.arange(len(inputs))
        self.aside, self.rows = (aside, np.setdiff1d(rows, aside)) if len(aside) else (rows, rows)

    def run(self, epochs: int, warm: bool) -> tuple[int, int, float]:
        """Returns passes made, the best of them and its loss on the rows kept aside."""
        network = self.network
        size = network.batch_size
        per_epoch = math.ceil(len(self.rows) / size)
        if not warm:
            # A handful of items needs more passes, or hardly a step is made.
            epochs = max(epochs, min(10 * epochs, math.ceil(_LEAST_STEPS / per_epoch)))
        epochs = max(1, min(epochs, network.most_steps // per_epoch))
        optimisers = network.optimisers(warm) + (self.match.optimisers() if self.match else [])
        # Rates are set for whole batches: smaller ones take smaller steps, by the square root (malladi2022), but no
        # less than half of them, or a handful of items would not be learned in the steps that there are.
        share = min(1.0, max(0.5, math.sqrt(len(self.rows) / size)))
        rates = [[share * group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
        best, best_loss, best_state = 0, self._loss() if warm else math.inf, copy.deepcopy(network.state_dict())
        # What has met easy rows only is no worse for it yet.
        patient_from = 0 if self.curriculum == "shuffled" else math.ceil(WHOLE_FROM * epochs)
        epoch = 0
        for epoch in range(1, epochs + 1):
            order = self._order((epoch - 1) / epochs)
            network.train()
            for step in range(per_epoch):
                done = ((epoch - 1) * per_epoch + step) / (epochs * per_epoch)
                scale = max(_LEAST_RATE, 0.5 * (1 + math.cos(math.pi * done)))
                for optimiser, base in zip(optimisers, rates, strict=True):
                    for group, rate in zip(optimiser.param_groups, base, strict=True):
                        group["lr"] = rate * scale
                self._step(order[step * size : (step + 1) * size], optimisers)
            loss = self._loss()
            if loss < best_loss:
                best, best_loss, best_state = epoch, loss, copy.deepcopy(network.state_dict())
            elif epoch - max(best, patient_from) >= _PATIENCE:
                break
        network.load_state_dict(best_state)
        network.eval()
        return epoch, best, best_loss

    def scale(self, soft: FloatArray, calibration: tuple[Sequence[RawItem], ArrayLike] | None) -> tuple[float, int]:
        """What makes the student as sure as its teacher, (n_transfer, C), on the rows kept aside, or as it is right.

        Labels count one each, and all that the teacher says as much as `TEACHER_COUNTS` of them: a few labels alone
        would say little. Returns how many labels there were, too.
        """
        rows = self.aside[self.aside < len(soft)]
        none: tuple[Sequence[RawItem], ArrayLike] = ([], [])
        items, y = calibration if calibration is not None else none
        if not len(rows) and not len(items):
            return self.network.scale, 0
        logits, target = [self._logits(rows)], [soft[rows]]
        weight = [np.full(len(rows), TEACHER_COUNTS / max(1, len(rows)), np.float32)]
        if len(items):
            inputs = self.network.prepare(items)
            logits.append(self._logits(np.arange(len(inputs)), inputs))
            target.append(one_hot(np.asarray(y, np.int64), self.network.n_classes))
            weight.append(np.ones(len(inputs), np.float32))
        return fit_scale(*(np.concatenate(parts) for parts in (logits, target, weight))), len(items)

    def _order(self, done: float) -> IntArray:
        """The rows of the next pass; how hard they are is only found where the curriculum asks for it."""
        hardness = np.zeros(0, np.float32)
        if self.curriculum == "self_paced":
            logits = torch.from_numpy(self._logits(self.rows))
            target = self.target[torch.from_numpy(self.rows)]
            hardness = -(target * torch.log_softmax(logits, 1)).sum(1).numpy()
        elif self.curriculum != "shuffled":
            hardness = entropies(self.target.numpy()[self.rows])
        return epoch_order(self.curriculum, self.rows, hardness, done, self.rng)

    def _step(self, rows: IntArray, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        if len(rows) == 1 and len(self.rows) > 1:
            rows = np.append(rows, self.rows[0])  # batch normalisation needs two
        where = torch.from_numpy(rows)
        batch, target, weight = mix_pairs(
            self.inputs.batch(rows, self.rng), self.target[where], self.weight[where], self.mixed_share, self.rng
        )
        logits, apart = self.match(self.network, batch, where) if self.match else (self.network(*batch), 0.0)
        loss = cross_entropy(logits, target, weight) + apart
        for parameter in (*self.network.parameters(), *(self.match.parameters() if self.match else ())):
            parameter.grad = None  # what zero_grad does, without what surrounds it
        cast(Any, loss).backward()
        for optimiser in optimisers:
            optimiser.step()

    def _loss(self) -> float:
        logits = torch.from_numpy(self._logits(self.aside))
        return float(cross_entropy(logits, self.target[torch.from_numpy(self.aside)], torch.ones(len(self.aside))))

    def _logits(self, rows: IntArray, inputs: Inputs | None = None) -> FloatArray:
        """Of rows of the training's inputs, or of others; (rows, C)."""
        self.network.eval()
        given = self.inputs if inputs is None else inputs
        with torch.inference_mode():
            parts = [self.network(*given.batch(rows[i : i + 1024])) for i in range(0, len(rows), 1024)]
        return cast(
            FloatArray, torch.cat(parts).numpy() if parts else np.zeros((0, self.network.n_classes), np.float32)
        )
