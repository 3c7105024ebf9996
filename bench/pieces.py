"""Students of word pieces beside students of words: accuracy, size of the table, CPU seconds of training.

``python -m bench.pieces --features FOLDER [--sets banking77 agnews] [--seeds 3]`` prints the table of docs/students.md.
Labels are drawn at random; the teacher is a head on MiniLM's rows, which are kept in the folder. ``--json`` prints the
rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.real_features import keep_features
from bench.texts import labelled_texts
from models.distill import distil
from models.evaluate import accuracy
from models.teachers import LogisticTeacher
from models.threads import torch_threads

LABELS = {"banking77": 1_500, "agnews": 400}
FAMILIES = ("static", "static-pieces")


def measure(name: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """One teacher and a student of each family."""
    kept = keep_features(name, folder)
    X, y = np.asarray(kept.X, np.float32), np.asarray(kept.y, np.int64)
    test_X, test_y = np.asarray(kept.test_features, np.float32), np.asarray(kept.test_y, np.int64)
    texts, labels, _ = labelled_texts(len(y), name)
    test, test_labels, _ = labelled_texts(len(test_y), name, "test")
    names = tuple(sorted(set(labels) | set(test_labels)))
    labelled = np.sort(np.random.default_rng(seed).permutation(len(y))[: LABELS[name]])
    teacher = LogisticTeacher.fit(
        X[labelled], y[labelled], len(names), np.ones(len(labelled), bool), rng=np.random.default_rng(seed), pool=X
    )
    soft, taught = teacher.predict_proba(X), accuracy(test_y, teacher.predict_proba(test_X).argmax(axis=1))
    rows = []
    for family in FAMILIES:
        began = time.process_time()
        with torch_threads(1):
            made = distil(
                family, texts, soft, [texts[row] for row in labelled], y[labelled], class_names=names,
                rng=np.random.default_rng(seed), features=X,
            )  # fmt: skip
        rows.append(
            {
                "set": name,
                "seed": seed,
                "family": family,
                "teacher": taught,
                "accuracy": accuracy(test_y, made.student.predict_proba(test).argmax(axis=1)),
                "rows": len(made.student.arrays()["table.weight"]),
                "cpu_seconds": time.process_time() - began,
            }
        )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table, or with ``--json`` its rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.pieces", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="Folder where MiniLM's rows are kept.")
    parser.add_argument("--sets", nargs="+", default=list(LABELS), choices=list(LABELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    rows = [row for name in asked.sets for seed in range(asked.seeds) for row in measure(name, seed, asked.features)]
    if asked.json:
        print(json.dumps(rows))
        return 0
    print("| texts | family | accuracy: mean, each seed | teacher | rows of the table | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for name in asked.sets:
        for family in FAMILIES:
            mine = [row for row in rows if (row["set"], row["family"]) == (name, family)]
            each = ", ".join(f"{row['accuracy']:.3f}" for row in mine)
            means = {key: float(np.mean([row[key] for row in mine])) for key in ("accuracy", "teacher", "cpu_seconds")}
            print(
                f"| {name} | `{family}` | {means['accuracy']:.3f}: {each} | {means['teacher']:.3f} | "
                f"{mine[0]['rows']:,} | {means['cpu_seconds']:.1f} |"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
