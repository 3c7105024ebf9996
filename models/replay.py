"""Training a student again from the lesson of its round: what it was taught, from where it set out, and the seed.

A lesson is complete: given the same items, code, libraries and processor, `replay` gives the same weights to the bit.
The teacher is in it as its answers (soft labels); it is not fitted again.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifacts import pack_weights
from models.errors import CorruptModel
from models.students.protocol import Arrays, FloatArray, IntArray, RawItem
from models.students.student import Student
from models.trunks import Trunk

_ARRAYS = ("numbers", "soft", "labeled", "y", "apart")
_FEATURES = "features"


@dataclass(frozen=True)
class Lesson:
    """What one training of a student was given.

    Attributes:
        numbers: The items of the transfer set, shape (n,), by any numbers that name them.
        soft: The teacher's answers to them, float32 (n, C).
        labeled: The labelled items, shape (l,), by the same numbers.
        y: Their classes, shape (l,).
        apart: Which of them said how sure it may be and taught it nothing else, bool (l,).
        family: Of the student.
        class_names: C names.
        seed: Of the student's generator.
        place: Which of its three children was used: 1 warm, 2 cold.
        start_sha256: Of the weights that it set out from; None for a cold start.
        items_sha256: `digest_items` of the transfer set, then of the labelled items.
        options: Further keyword arguments of `models.distill.distil`; JSON.
        features: The teacher's features of the transfer set, (n, d), where its family asks for them.
        trunk_sha256: Of the encoder's lower layers that it is cut from (`Trunk.sha256`); None for other families.
    """

    numbers: IntArray
    soft: FloatArray
    labeled: IntArray
    y: IntArray
    apart: NDArray[np.bool_]
    family: str
    class_names: tuple[str, ...]
    seed: int
    place: int
    start_sha256: str | None
    items_sha256: tuple[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    features: NDArray[Any] | None = None
    trunk_sha256: str | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays, as safetensors holds them."""
        named = _ARRAYS if self.features is None else (*_ARRAYS, _FEATURES)
        return {name: np.ascontiguousarray(getattr(self, name)) for name in named}

    def facts(self) -> dict[str, Any]:
        """Everything else, with a digest of each array: JSON, for a manifest."""
        return {
            "family": self.family,
            "class_names": list(self.class_names),
            "seed": self.seed,
            "place": self.place,
            "start_sha256": self.start_sha256,
            "trunk_sha256": self.trunk_sha256,
            "options": self.options,
            "transfer": {
                "items": len(self.numbers),
                "items_sha256": self.items_sha256[0],
                "soft_sha256": _digest(self.soft),
                "features_sha256": None if self.features is None else _digest(self.features),
            },
            "labels": {
                "items": len(self.labeled),
                "items_sha256": self.items_sha256[1],
                "classes_sha256": _digest(self.y),
                "apart": int(self.apart.sum()),
            },
        }

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Lesson:
        """The lesson that `arrays` and `facts` told; raises CorruptModel where they do not fit each other."""
        try:
            made = cls(
                numbers=np.asarray(arrays["numbers"], np.int64),
                soft=np.asarray(arrays["soft"], np.float32),
                labeled=np.asarray(arrays["labeled"], np.int64),
                y=np.asarray(arrays["y"], np.int64),
                apart=np.asarray(arrays["apart"], bool),
                family=str(facts["family"]),
                class_names=tuple(map(str, facts["class_names"])),
                seed=int(facts["seed"]),
                place=int(facts["place"]),
                start_sha256=facts["start_sha256"],
                items_sha256=(facts["transfer"]["items_sha256"], facts["labels"]["items_sha256"]),
                options=dict(facts["options"]),
                features=arrays.get(_FEATURES),
                trunk_sha256=facts.get("trunk_sha256"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptModel("The lesson", f"it does not tell how it was trained: {error!r}") from error
        if made.place not in (1, 2) or made.soft.shape != (len(made.numbers), len(made.class_names)):
            raise CorruptModel("The lesson", "its arrays do not fit each other")
        return made


def replay(
    lesson: Lesson,
    items: Sequence[RawItem],
    labeled_items: Sequence[RawItem],
    start: Arrays | None,
    trunk: Trunk | None = None,
) -> Student:
    """Train the student of a lesson again.

    Args:
        lesson: The lesson.
        items: The raw items of its transfer set, in its order.
        labeled_items: Its labelled items, in its order.
        start: The weights that it set out from; None for a cold start.
        trunk: What it was cut from; only looked at where the lesson names one.

    Raises:
        CorruptModel: ``start`` or ``trunk`` is missing, or is not what the lesson set out from.
        BadInput: an item cannot be read.
    """
    from models.distill import distil

    found = None if start is None else weights_sha256(start)
    if found != lesson.start_sha256:
        raise CorruptModel("The start of the lesson", f"its weights are {found}, not {lesson.start_sha256}")
    cut_from = trunk if lesson.trunk_sha256 else None
    found = None if cut_from is None else cut_from.sha256()
    if found != lesson.trunk_sha256:
        raise CorruptModel("The encoder of the lesson", f"its layers are {found}, not {lesson.trunk_sha256}")
    rng = np.random.default_rng(lesson.seed).spawn(3)[lesson.place]
    learned, apart = np.flatnonzero(~lesson.apart).tolist(), np.flatnonzero(lesson.apart).tolist()
    made = distil(
        lesson.family,
        items,
        lesson.soft,
        [labeled_items[place] for place in learned],
        lesson.y[learned],
        class_names=lesson.class_names,
        rng=rng,
        previous=start,
        features=lesson.features,
        trunk=cut_from,
        calibration=([labeled_items[place] for place in apart], lesson.y[apart]),
        **lesson.options,
    )
    return made.student


def weights_sha256(arrays: Arrays) -> str:
    """SHA-256 of a student's fp32 weights, as `models.artifacts.save_student` writes them."""
    return hashlib.sha256(pack_weights(arrays)).hexdigest()


def item_bytes(item: RawItem) -> bytes:
    """The bytes that stand for a raw item."""
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    return item if isinstance(item, bytes) else np.asarray(item, "<f4").tobytes()


def digest_items(items: Sequence[RawItem]) -> str:
    """SHA-256 over raw items, in order, each with its length."""
    total = hashlib.sha256()
    for item in items:
        data = item_bytes(item)
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


_CODE = ("augmentation", "bag_regression", "curriculum", "distill", "losses", "matching", "trunks")


@cache
def training_surroundings() -> dict[str, str]:
    """What else decides on weights to the bit: versions, a digest of the training code, and the processor."""
    import torch

    import models.distill
    import predictor

    code = hashlib.sha256()
    ours = Path(models.distill.__file__).parent
    files = [*(ours / "students").glob("*.py"), *(ours / f"{name}.py" for name in _CODE)]
    files += Path(predictor.__file__).parent.glob("*.py")
    for file in sorted(files):
        code.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
        "training_code": code.hexdigest()[:16],
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }
