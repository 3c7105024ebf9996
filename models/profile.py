"""What students cost where they run: the size and speed of one, and the profile of a machine by reference students."""

from __future__ import annotations

import io
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.students.protocol import RawItem
from models.students.student import Student

FAMILIES = ("static", "hashed", "convnet", "mlp")
"""The families that a profile tells the speed of."""
_TIMED = 60
_CALIBRATION = 256
_WORDS, _TEXT_WORDS, _CLASSES, _DIM, _SIDE = 4_000, 12, 20, 384, 28


@dataclass(frozen=True)
class Footprint:
    """A student as it is exported in INT8.

    Attributes:
        megabytes: Of its graph.
        p50_ms: Median time of one item alone, from the raw item to its label, on one thread.
        p95_ms: The 95th percentile.
        items_per_second: Of many together, on one thread.
    """

    megabytes: float
    p50_ms: float
    p95_ms: float
    items_per_second: float


def measure_footprint(student: Student, items: Sequence[RawItem]) -> Footprint:
    """What a student costs on this machine; ``items`` are some hundred raw items, one at least."""
    from models.compress import activation_ranges
    from models.export.onnx_graph import build_graph
    from predictor.runtime import Predictor

    ranges = activation_ranges(student, items[:_CALIBRATION])
    model = build_graph(student, ranges).SerializeToString()
    predictor = Predictor(model, student.class_names, student.task, student.network.preprocess())
    predictor.predict(items[:_TIMED])
    alone = []
    for index in range(_TIMED):
        began = time.perf_counter()
        predictor.predict([items[index % len(items)]])
        alone.append(1_000 * (time.perf_counter() - began))
    began = time.perf_counter()
    predictor.predict_proba(items)
    together = time.perf_counter() - began
    p50, p95 = np.quantile(alone, [0.5, 0.95])
    return Footprint(len(model) / 1e6, float(p50), float(p95), len(items) / together)


def measure_profile(families: Sequence[str] = FAMILIES) -> dict[str, Any]:
    """The profile of this machine: `measure_footprint` of a reference student for each family, and what ran them."""
    from onnxruntime import __version__ as onnxruntime_version

    measured = {}
    for family in families:
        found = measure_footprint(*reference_student(family))
        measured[family] = {
            "p50_ms": round(found.p50_ms, 5),
            "p95_ms": round(found.p95_ms, 5),
            "items_per_second": round(found.items_per_second, 1),
        }
    return {
        "machine": processor(),
        "cores": os.cpu_count() or 1,
        "onnxruntime": onnxruntime_version,
        "families": measured,
    }


def reference_student(family: str) -> tuple[Student, list[RawItem]]:
    """An untrained student of usual size, the same on every machine, and items that it reads.

    Raises:
        ModelError: No such family.
    """
    import torch

    from models.students import network_class

    items = _items(family, np.random.default_rng(0))
    network = network_class(family).create(items, _CLASSES, torch.Generator().manual_seed(0))
    return Student(network, tuple(f"class {i}" for i in range(_CLASSES))), items


def slowdown(device: dict[str, Any], family: str) -> float:
    """How many times as long a device takes for a family as this machine, by its profile.

    A family that the profile does not tell is taken to be as much slower as the median of the others.
    """
    told = {name: float(entry["p50_ms"]) for name, entry in device["families"].items() if name in FAMILIES}
    wanted = [family] if family in told else sorted(told)
    if not wanted:
        return 1.0
    here = measure_profile(wanted)["families"]
    return float(np.median([told[name] / max(here[name]["p50_ms"], 1e-6) for name in wanted]))


def processor() -> str:
    """The processor's name where the system tells it, else its kind."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _items(family: str, rng: np.random.Generator) -> list[RawItem]:
    if family == "mlp":
        return list(rng.standard_normal((_CALIBRATION, _DIM), np.float32))
    if family == "convnet":
        return [_png(rng.integers(0, 256, (_SIDE, _SIDE), np.uint8)) for _ in range(_CALIBRATION)]
    words = np.array([f"w{i}" for i in range(_WORDS)])
    return [" ".join(rng.choice(words, _TEXT_WORDS)) for _ in range(2 * _CALIBRATION)]


def _png(pixels: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
