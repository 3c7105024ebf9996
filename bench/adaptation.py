"""Whether adapting the encoder to the pool without labels pays: the head's accuracy on its features before and after.

``python -m bench.adaptation [--sets agnews banking77] [--texts 2000] [--labels 100 400] [--test 400] [--steps 30]``.
Needs the extra ``minilm``. One thread, one seed for the adaptation, several draws of labels. "before" is the same
network on torch, without any step. Nothing is chosen by the test texts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import as_text
from bench.texts import labelled_texts

_DRAWS = 4
_MOST = 12_000  # more than the real sets have


def measure(name: str, n_texts: int, labels: list[int], n_test: int, steps: int) -> list[dict[str, Any]]:
    """Adapt with and without words left out, and fit heads on the same labels each time."""
    from models.finetune.adaptation import AdaptationRecipe, AdaptedEncoder
    from models.finetune.base import BaseNetwork, find_base

    texts, given, _ = labelled_texts(_MOST, name)
    names = sorted(set(given))
    rng = np.random.default_rng(3)
    pool = rng.permutation(len(texts))[:n_texts]
    test_texts, test_given, _ = labelled_texts(_MOST, name, "test")
    tested = rng.permutation(len(test_texts))[:n_test]
    truth = np.array([names.index(test_given[row]) for row in tested])
    y = np.array([names.index(given[row]) for row in pool])
    # All from as few texts as are needed for two of the largest draws: each that is read costs.
    lot = min(len(pool), 2 * max(labels))
    draws = {n: [rng.permutation(lot)[:n] for _ in range(_DRAWS)] for n in labels}
    read = sorted({int(row) for chosen in draws.values() for rows in chosen for row in rows})
    mine, theirs = [texts[row] for row in pool], [test_texts[row] for row in tested]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        base = find_base("minilm", {}, Path(cache))
    for what, recipe in (
        ("before", None),
        ("dropout", AdaptationRecipe(steps=steps)),
        ("dropout and words left out", AdaptationRecipe(steps=steps, deletion=0.3)),
    ):
        began = time.process_time()
        if recipe is None:
            encoder = AdaptedEncoder(BaseNetwork(base, max_tokens=64, threads=1), AdaptationRecipe())
        else:
            encoder = AdaptedEncoder.fit(base, mine, recipe, np.random.default_rng(0), threads=1)
        spent = time.process_time() - began
        found = encoder.encode([mine[row] for row in read])
        features = np.zeros((len(mine), found.shape[1]), np.float32)
        features[read] = found
        on_test = encoder.encode(theirs)
        rows.append(
            {
                "set": name,
                "adapted_by": what,
                "cpu_s": spent,
                **{f"at_{n}": _accuracy(features, y, draws[n], on_test, truth, len(names)) for n in labels},
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _accuracy(
    features: NDArray[np.float32],
    y: NDArray[np.int64],
    draws: list[NDArray[np.int64]],
    on_test: NDArray[np.float32],
    truth: NDArray[np.int64],
    n_classes: int,
) -> str:
    from models.teachers import LogisticTeacher

    right = []
    for rows in draws:
        teacher = LogisticTeacher.fit(features[rows], y[rows], n_classes, rng=np.random.default_rng(0))
        right.append(float((teacher.predict_proba(on_test).argmax(axis=1) == truth).mean()))
    return f"{np.mean(right):.3f} ± {np.std(right, ddof=1) / np.sqrt(len(right)):.3f}"


def main() -> None:
    """Set after set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["agnews", "banking77"])
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    found = []
    for name in options.sets:
        found += measure(name, options.texts, options.labels, options.test, options.steps)
    about = {"texts": options.texts, "test": options.test, "steps": options.steps, "draws": _DRAWS, "threads": 1}
    print(as_text({**about, "encoders": found}))


if __name__ == "__main__":
    main()
