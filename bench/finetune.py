"""Fine-tuning MiniLM by each method beside the frozen head: weights trained, memory, CPU-seconds, accuracy.

``python -m bench.finetune [--set agnews] [--labels 400] [--test 500] [--epochs 3] [--tokens 64] [--methods full …]``,
``--seeds 3`` for means over several: a seed draws the labelled texts and all that is random in training. Needs the
extras ``minilm`` and ``peft``. One thread; each training in a process of its own. Text sets as in ``bench.texts``.
Nothing is chosen by the test texts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.memory import forget_peak, peak_mb
from bench.report import as_text
from bench.texts import labelled_texts

_MOST = 12_000  # more than the real sets have
_PRODUCTS = 5
_METHODS = ("frozen", "full", "lora", "bias", "last")


@dataclass(frozen=True)
class Sample:
    """Labelled texts to learn from and to test on, with class indices."""

    texts: list[str]
    y: NDArray[np.int64]
    test_texts: list[str]
    test_y: NDArray[np.int64]
    n_classes: int
    source: str
    seed: int = 0


def draw(name: str, labels: int, test: int, seed: int = 0) -> Sample:
    """``labels`` texts of the training part by the seed, and ``test`` of the other, the same for all seeds."""
    texts, given, source = labelled_texts(_MOST, name)
    test_texts, test_given, _ = labelled_texts(_MOST, name, "test")
    names = sorted(set(given))
    mine = np.random.default_rng([1, seed] if seed else 1).permutation(len(texts))[:labels]
    theirs = np.random.default_rng(2).permutation(len(test_texts))[:test]
    return Sample(
        [texts[row] for row in mine],
        np.array([names.index(given[row]) for row in mine]),
        [test_texts[row] for row in theirs],
        np.array([names.index(test_given[row]) for row in theirs]),
        len(names),
        source,
        seed,
    )


def measure(method: str, sample: Sample, epochs: int, tokens: int) -> dict[str, Any]:
    """Train by one method and ask about the test texts."""
    with tempfile.TemporaryDirectory() as cache:
        return (_frozen if method == "frozen" else _finetuned)(method, sample, epochs, tokens, Path(cache))


def _finetuned(method: str, sample: Sample, epochs: int, tokens: int, cache: Path) -> dict[str, Any]:
    import models.finetune.fitting  # noqa: F401 — its seconds are those of every process, and not of training
    from models.finetune.base import find_base
    from models.finetune.model import FinetunedModel
    from models.finetune.recipe import FinetuneRecipe

    base = find_base("minilm", {}, cache)
    recipe = FinetuneRecipe(method=method, epochs=epochs, max_tokens=tokens)
    everyone = np.ones(len(sample.y), bool)
    forget_peak()
    before, began = peak_mb(), time.process_time()
    model = FinetunedModel.fit(
        base,
        sample.texts,
        sample.y,
        sample.n_classes,
        everyone,
        recipe=recipe,
        rng=np.random.default_rng(sample.seed),
        threads=1,
    )
    training, extra = time.process_time() - began, peak_mb() - before
    began = time.process_time()
    P = model.predict_proba(base, sample.test_texts, threads=1)
    return {
        **_row(method, sample, P),
        "trained_weights": model.report["trained_weights"],
        "stored_mb": sum(array.nbytes for array in model.arrays().values()) / 1e6,
        "extra_mb": extra,
        "planned_mb": model.report["memory_mb"],
        "training_cpu_s": training,
        "best_epoch": f"{model.report['best_epoch']} of {model.report['epochs']}",
        "texts_a_cpu_s": len(sample.test_texts) / (time.process_time() - began),
    }


def _frozen(method: str, sample: Sample, epochs: int, tokens: int, cache: Path) -> dict[str, Any]:
    """The head that a round ranks by, on the encoder that encodes the pool."""
    from models.encoders import make_encoder
    from models.teachers import LogisticTeacher

    encoder = make_encoder("minilm", "text", cache=cache, threads=1)
    encoder.encode(sample.texts[:8])  # what is made once is made
    forget_peak()
    before, began = peak_mb(), time.process_time()
    features = encoder.encode(sample.texts).features
    teacher = LogisticTeacher.fit(features, sample.y, sample.n_classes, rng=np.random.default_rng(sample.seed))
    training, extra = time.process_time() - began, peak_mb() - before
    began = time.process_time()
    P = teacher.predict_proba(encoder.encode(sample.test_texts).features, threads=1)
    return {
        **_row(method, sample, P),
        "trained_weights": teacher.coef.size + teacher.intercept.size,
        "stored_mb": sum(array.nbytes for array in teacher.arrays().values()) / 1e6,
        "extra_mb": extra,
        "planned_mb": None,
        "training_cpu_s": training,
        "best_epoch": None,
        "texts_a_cpu_s": len(sample.test_texts) / (time.process_time() - began),
    }


def _row(method: str, sample: Sample, P: NDArray[np.floating]) -> dict[str, Any]:
    from models.evaluate import log_losses

    return {
        "method": method,
        "accuracy": float((P.argmax(axis=1) == sample.test_y).mean()),
        "log_loss": float(log_losses(sample.test_y, P).mean()),
    }


def mean_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A method's row over several seeds: means of numbers, the accuracies by seed, what is no number side by side.

    >>> mean_of([{"method": "full", "accuracy": 0.5}, {"method": "full", "accuracy": 0.75}])
    {'method': 'full', 'accuracy': 0.625, 'by_seed': '0.500 0.750'}
    """
    found: dict[str, Any] = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if isinstance(first, int | float):
            found[name] = float(np.mean(values)) if isinstance(first, float) else first
        else:
            found[name] = first if len(set(values)) == 1 else ", ".join(map(str, values))
        if name == "accuracy":
            found["by_seed"] = " ".join(f"{value:.3f}" for value in values)
    return found


def products() -> dict[str, Any]:
    """CPU-milliseconds of a product as large as those of the encoder, in fp32 and in bf16: whether bf16 pays here."""
    import torch

    from models.finetune.recipe import chosen_precision

    torch.set_num_threads(1)
    draw_from = torch.Generator().manual_seed(0)
    rows, weights = torch.randn(2_048, 384, generator=draw_from), torch.randn(384, 1_536, generator=draw_from)
    found: dict[str, Any] = {"product_rows": len(rows)}
    for name, dtype in (("fp32_ms", torch.float32), ("bf16_ms", torch.bfloat16)):
        a, b = rows.to(dtype), weights.to(dtype)
        a @ b
        began = time.process_time()
        for _ in range(_PRODUCTS):
            a @ b
        found[name] = 1e3 * (time.process_time() - began) / _PRODUCTS
    return {**found, "auto_takes": chosen_precision("auto")}


def main() -> None:
    """Each method in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="agnews")
    parser.add_argument("--labels", type=int, default=400)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="longer texts are cut when they are fine-tuned on")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=_METHODS)
    options = parser.parse_args()
    samples = [draw(options.set, options.labels, options.test, seed) for seed in range(options.seeds)]
    sample, found = samples[0], []
    for method in options.methods:
        rows = []
        for one in samples:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure, (method, one, options.epochs, options.tokens)))
            print(f"{method}, seed {one.seed}: {rows[-1]}", file=sys.stderr, flush=True)
        found.append(mean_of(rows))
    about = {**products(), "source": sample.source, "labels": len(sample.y), "test": len(sample.test_y), "threads": 1}
    about["seeds"] = options.seeds
    print(as_text({**about, "epochs": options.epochs, "tokens": options.tokens, "methods": found}))


if __name__ == "__main__":
    main()
