"""What each step of compressing MiniLM gives on a real set: ``python -m bench.compress banking77``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.compression import Compression, Labelled
from bench.report import as_text

STEPS = "vocabulary=0,magnitude=0.5,cluster=16,layers=4,prune=0.5,lowrank=128,int8,int8-static,qat=0.5"


def measure(
    name: str, steps: str, *, texts: int, labels: int, test: int, epochs: float, keep: float, seed: int = 0
) -> dict[str, Any]:
    """Compress on the texts of a set's pool, and score with a head on some of its labels and test rows."""
    from models.compression.material import EncoderState
    from models.compression.minilm import load_minilm
    from models.compression.steps import parse_steps
    from worker.dataset import Dataset, load_dataset

    data, rng = Path(os.environ["WINNOW_BENCH_DATA"]), np.random.default_rng(seed)
    pool, held = (load_dataset(data / f"{name}.{part}.jsonl") for part in ("train", "test"))

    def some(of: Dataset, count: int) -> Dataset:
        rows = rng.permutation(len(of))[:count]
        return Dataset("text", [str(of.items[row]) for row in rows], tuple(of.labels[row] for row in rows))

    drawn = [str(text) for text in some(pool, texts).items]
    labelled = Labelled.of(some(pool, labels), some(held, test), rng)
    run = Compression(
        EncoderState(*load_minilm()),
        drawn,
        labelled,
        least_kept=keep,
        say=lambda what, done: None,
        rng=rng,
        epochs=epochs,
    )
    return {"set": name, **run.run(parse_steps(steps))[2]}


def table(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps as rows of a table."""
    whole = found["steps"][0]
    rows = []
    for row in found["steps"]:
        speeds = {name: f"{times:.1f} ×" for name, times in row["times_torch"].items()}
        rows.append(
            {
                "step": row["step"],
                "kept": "" if row["kept"] is None else ("yes" if row["kept"] else "no"),
                "MB": row["mb"],
                "of torch": f"{row['mb'] / whole['mb']:.0%}",
                "zipped": row["zipped_mb"],
                "memory": row["memory_mb"],
                **speeds,
                "accuracy": f"{row['accuracy']:.4f}",
                "left": f"{row['accuracy'] / whole['accuracy']:.1%}",
                "agreement": f"{row['agreement']:.3f}",
                "cosine": f"{row['cosine']:.3f}",
            }
        )
    return rows


def main() -> None:
    """Print the table; ``--json`` prints everything as one object."""
    parser = argparse.ArgumentParser(prog="python -m bench.compress", description=__doc__)
    parser.add_argument("set", choices=["agnews", "banking77"])
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--texts", type=int, default=2_000, help="of the pool, learned from")
    parser.add_argument("--labels", type=int, default=1_500, help="that the head learns from")
    parser.add_argument("--test", type=int, default=1_000, help="test rows that are scored")
    parser.add_argument(
        "--epochs", type=float, default=1.0, help="of recovery after each step that takes structure out"
    )
    parser.add_argument("--keep", type=float, default=0.98, help="share of the accuracy that must be left")
    parser.add_argument("--seed", type=int, default=0, help="of which texts, labels and test rows are drawn")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(
        arguments.set,
        arguments.steps,
        texts=arguments.texts,
        labels=arguments.labels,
        test=arguments.test,
        epochs=arguments.epochs,
        keep=arguments.keep,
        seed=arguments.seed,
    )
    if arguments.json:
        print(json.dumps(found))
    else:
        print(as_text({"set": found["set"], "texts": found["texts"], "labels": found["labels"], "steps": table(found)}))


if __name__ == "__main__":
    main()
