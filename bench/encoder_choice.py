"""Which encoder labels choose, beside what each encoder's head then gives on test texts.

``python -m bench.encoder_choice`` prints the table of docs/text.md. Labels are drawn at random. ``-made-up`` has each
word of a set's texts replaced by a made-up one, always the same: a language that MiniLM was not trained on. Needs the
extra ``minilm`` and ``WINNOW_BENCH_DATA``. ``--json`` prints the rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.texts import labelled_texts
from models.encoder_choice import FIRST_MARGIN, choose_encoder
from models.encoders import make_encoder
from models.evaluate import accuracy
from models.teachers import LogisticTeacher

SETS = ("agnews", "banking77", "agnews-made-up", "banking77-made-up")
ENCODERS = ("minilm", "hashed")
_SYLLABLES = ("ba", "do", "ki", "lu", "me", "ni", "po", "ra", "su", "te", "vo", "zi", "gha", "sko", "tru", "yel")


def made_up(text: str) -> str:
    """The text with each word replaced by a made-up one of two to four syllables, always the same for a word.

    >>> made_up("a cat, a cat") == made_up("A CAT, a cat").lower() != "a cat, a cat"
    True
    """

    def other(word: re.Match[str]) -> str:
        digest = hashlib.blake2b(word.group().lower().encode(), digest_size=5).digest()
        return "".join(_SYLLABLES[byte % len(_SYLLABLES)] for byte in digest[: 2 + digest[4] % 3])

    return re.sub(r"[^\W\d_]+", other, text)


def measure(name: str, labels: Sequence[int], seeds: int, n_pool: int, n_test: int) -> list[dict[str, Any]]:
    """For so many labels: how often each encoder was chosen, mean losses and accuracies on test texts."""
    texts, classes, _ = labelled_texts(n_pool, name.removesuffix("-made-up"))
    if name.endswith("-made-up"):
        texts = [made_up(text) for text in texts]
    names = sorted(set(classes))
    y = np.array([names.index(label) for label in classes])
    order = np.random.default_rng(0).permutation(len(texts))
    test, rest = order[:n_test], order[n_test:]
    drawn = {seed: np.random.default_rng(seed).permutation(rest)[: max(labels)] for seed in range(seeds)}
    needed = np.unique(np.concatenate([test, *drawn.values()]))
    features = {}
    for encoder in ENCODERS:
        with tempfile.TemporaryDirectory() as cache:
            made = make_encoder(encoder, "text", cache=Path(cache))
            made.fit(texts, np.random.default_rng(0))
            features[encoder] = np.zeros((len(texts), made.dim), np.float32)
            features[encoder][needed] = made.encode([texts[row] for row in needed]).features
    rows = []
    for n in labels:
        chosen = []
        scores: dict[str, list[float]] = {encoder: [] for encoder in ENCODERS}
        for seed, some in drawn.items():
            at = some[:n]
            mine = {encoder: found[at] for encoder, found in features.items()}
            chosen.append(
                choose_encoder(
                    mine, y[at], np.ones(n, bool), present="minilm", margin=FIRST_MARGIN, labels=n,
                    rng=np.random.default_rng(seed),
                )
            )  # fmt: skip
            for encoder, found in features.items():
                head = LogisticTeacher.fit(found[at], y[at], len(names), rng=np.random.default_rng(seed))
                scores[encoder].append(accuracy(y[test], head.predict_proba(found[test]).argmax(axis=1)))
        rows.append(
            {
                "set": name,
                "labels": n,
                "chose_hashed": sum(choice.encoder == "hashed" for choice in chosen),
                "seeds": seeds,
                "losses": {e: float(np.mean([choice.losses[e] for choice in chosen])) for e in ENCODERS},
                "accuracy": {encoder: float(np.mean(found)) for encoder, found in scores.items()},
            }
        )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table, or with ``--json`` its rows."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoder_choice", description=__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 400])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pool", type=int, default=5_000)
    parser.add_argument("--test", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(argv)
    rows = [row for name in asked.sets for row in measure(name, asked.labels, asked.seeds, asked.pool, asked.test)]
    if asked.json:
        print(json.dumps(rows))
        return 0
    print("| texts | labels | `hashed` chosen | log-loss `minilm` / `hashed` | test accuracy `minilm` / `hashed` |")
    print("|---|---|---|---|---|")
    for row in rows:
        losses, found = row["losses"], row["accuracy"]
        print(
            f"| {row['set']} | {row['labels']} | {row['chose_hashed']} of {row['seeds']} | {losses['minilm']:.3f} / "
            f"{losses['hashed']:.3f} | {found['minilm']:.3f} / {found['hashed']:.3f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
