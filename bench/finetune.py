"""Fine-tuning MiniLM by each method beside the frozen head: weights trained, memory, CPU-seconds, accuracy.

``python -m bench.finetune [--set agnews] [--labels 400] [--test 500] [--epochs 6] [--rate 5e-5] [--tokens 64]
[--methods full …]``, ``--seeds 3`` for means over several: a seed draws the labelled texts and all that is random in
training. Needs the extras ``minilm`` and ``peft``. One thread; each training in a process of its own. Text sets as in
``bench.texts``. Nothing is chosen by the test texts; ``with head`` is what a round's student learns from.
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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.memory import forget_peak, peak_mb
from bench.report import as_text
from bench.texts import labelled_texts

if TYPE_CHECKING:
    from models.encoders import Encoder
    from models.finetune.base import Base
    from models.finetune.recipe import FinetuneRecipe
    from models.teachers import LogisticTeacher
    from worker.round_data import RoundData

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


def measure(method: str, sample: Sample, recipe: dict[str, Any]) -> dict[str, Any]:
    """Train by one method and ask about the test texts; ``recipe`` is what differs from `FinetuneRecipe`'s defaults."""
    from models.finetune.recipe import FinetuneRecipe

    ask = _frozen if method == "frozen" else _finetuned
    made = FinetuneRecipe(method="full" if method == "frozen" else method, **recipe)
    with tempfile.TemporaryDirectory() as cache:
        return ask(method, sample, made, Path(cache))


def _finetuned(method: str, sample: Sample, recipe: FinetuneRecipe, cache: Path) -> dict[str, Any]:
    """As a round does it: alone, and with the say that the head is given beside it."""
    import models.finetune.fitting  # noqa: F401 — its seconds are those of every process, and not of training
    from models.blend import mix
    from models.finetune.base import find_base
    from worker.finetuned import FinetunedStep
    from worker.round_data import NoCheckpoints

    base = find_base("minilm", {}, cache)
    data = _as_round(sample, _features(sample, _encoder(cache)), base)
    tested = np.arange(len(sample.y), len(data.features))
    head = _head(sample, data.features[: len(sample.y)])
    forget_peak()
    before, began = peak_mb(), time.process_time()
    made = FinetunedStep(data, "finetuned", None, head, NoCheckpoints(), sample.seed, recipe=recipe, threads=1).run()
    training, extra = time.process_time() - began, peak_mb() - before
    model = made.model
    if model is None:
        raise SystemExit(f"Nothing was fine-tuned: {made.metrics['why']}.")
    began = time.process_time()
    P = model.predict_proba(base, sample.test_texts, threads=1)
    asking = time.process_time() - began
    share = float(made.metrics["share"])
    together = mix(head.predict_proba(data.features, tested), P, share)
    with_head = {f"with_head_{name}": value for name, value in _scores(sample, together).items()}
    return {
        "method": method,
        **_scores(sample, P),
        "share": share,
        **with_head,
        "trained_weights": model.report["trained_weights"],
        "stored_mb": sum(array.nbytes for array in model.arrays().values()) / 1e6,
        "extra_mb": extra,
        "planned_mb": model.report["memory_mb"],
        "training_cpu_s": training,
        "best_epoch": f"{model.report['best_epoch']} of {model.report['epochs']}",
        "held_out_losses": " ".join(f"{loss:.3f}" for loss in model.report["validation_losses"]),
        "texts_a_cpu_s": len(sample.test_texts) / asking,
    }


def _as_round(sample: Sample, features: NDArray[Any], base: Base) -> RoundData:
    """Labelled texts first, then those to test on; all labels drawn uniformly."""
    from worker.round_data import RoundData

    texts = [*sample.texts, *sample.test_texts]
    return RoundData(
        task="text",
        class_names=tuple(str(number) for number in range(sample.n_classes)),
        features=features,
        raw=lambda rows: [texts[row] for row in rows],
        labeled_rows=np.arange(len(sample.y)),
        y=sample.y,
        exploration=np.ones(len(sample.y), bool),
        candidate_rows=np.arange(len(sample.y), len(texts)),
        base=base,
    )


def _encoder(cache: Path) -> Encoder:
    from models.encoders import make_encoder

    encoder = make_encoder("minilm", "text", cache=cache, threads=1)
    encoder.encode(["a text"] * 8)  # what is made once is made
    return encoder


def _frozen(method: str, sample: Sample, recipe: FinetuneRecipe, cache: Path) -> dict[str, Any]:
    """The head that a round ranks by, on the encoder that encodes the pool; it is judged as it stands beside others."""
    encoder = _encoder(cache)
    forget_peak()
    before, began = peak_mb(), time.process_time()
    teacher = _head(sample, encoder.encode(sample.texts).features)
    training, extra = time.process_time() - began, peak_mb() - before
    began = time.process_time()
    teacher.predict_proba(encoder.encode(sample.test_texts).features, threads=1)
    asking = time.process_time() - began
    features = _features(sample, encoder)
    head = _head(sample, features[: len(sample.y)])
    return {
        "method": method,
        **_scores(sample, head.predict_proba(features, np.arange(len(sample.y), len(features)))),
        "share": None,
        "with_head_accuracy": None,
        "with_head_log_loss": None,
        "trained_weights": teacher.coef.size + teacher.intercept.size,
        "stored_mb": sum(array.nbytes for array in teacher.arrays().values()) / 1e6,
        "extra_mb": extra,
        "planned_mb": None,
        "training_cpu_s": training,
        "best_epoch": None,
        "held_out_losses": None,
        "texts_a_cpu_s": len(sample.test_texts) / asking,
    }


def _features(sample: Sample, encoder: Encoder) -> NDArray[Any]:
    """Of all texts, those to learn from first, in one call: INT8 answers differ a little by what they are read with."""
    return encoder.encode([*sample.texts, *sample.test_texts]).features


def _head(sample: Sample, features: NDArray[Any]) -> LogisticTeacher:
    """The head on all labelled texts, which were drawn uniformly."""
    from models.teachers import LogisticTeacher

    drawn = np.ones(len(sample.y), bool)
    rng = np.random.default_rng(sample.seed)
    return LogisticTeacher.fit(features, sample.y, sample.n_classes, drawn, rng=rng)


def _scores(sample: Sample, P: NDArray[np.floating]) -> dict[str, float]:
    from models.evaluate import log_losses

    return {
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
        if name.endswith("accuracy") and first is not None:
            found[f"{name.removesuffix('accuracy')}by_seed"] = " ".join(f"{value:.3f}" for value in values)
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
    parser.add_argument("--epochs", type=int, help="at most; by default the recipe's")
    parser.add_argument("--rate", type=float, help="learning rate of the encoder's weights; by default the method's")
    parser.add_argument("--head-rate", type=float, help="that of the head; by default the recipe's")
    parser.add_argument("--tokens", type=int, default=64, help="longer texts are cut when they are fine-tuned on")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=_METHODS)
    options = parser.parse_args()
    samples = [draw(options.set, options.labels, options.test, seed) for seed in range(options.seeds)]
    told = {"epochs": options.epochs, "learning_rate": options.rate, "head_learning_rate": options.head_rate}
    recipe = {name: value for name, value in told.items() if value is not None} | {"max_tokens": options.tokens}
    sample, found = samples[0], []
    for method in options.methods:
        rows = []
        for one in samples:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measure, (method, one, recipe)))
            print(f"{method}, seed {one.seed}: {rows[-1]}", file=sys.stderr, flush=True)
        found.append(mean_of(rows))
    about = {**products(), "source": sample.source, "labels": len(sample.y), "test": len(sample.test_y), "threads": 1}
    print(as_text({**about, "seeds": options.seeds, **recipe, "methods": found}))


if __name__ == "__main__":
    main()
