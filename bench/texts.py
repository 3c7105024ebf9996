"""Texts to measure on: a real set where ``WINNOW_BENCH_DATA`` names one, else made-up sentences."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

_TOPICS = {
    "sport": ("team match season coach goal league player final stadium victory", "won lost played trained scored"),
    "business": ("market shares profit bank company quarter investor price growth deal", "rose fell bought sold hired"),
    "science": ("study planet cell energy software network climate data particle", "found measured built ran"),
    "world": ("minister election border president treaty police court protest army city", "met voted signed opened"),
}
_FILLING = ["the", "a", "new", "after", "before", "in", "on", "with", "for", "last", "first", "about", "people", "week"]


def labelled_texts(n: int, name: str = "agnews", part: str = "train") -> tuple[list[str], list[str], str]:
    """Up to ``n`` texts, their classes, and what they are."""
    folder = os.environ.get("WINNOW_BENCH_DATA")
    file = Path(folder) / f"{name}.{part}.jsonl" if folder else None
    if file is not None and file.exists():
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:n]]
        return [row["text"] for row in rows], [row["label"] for row in rows], f"{name}.{part}"
    made_up = _made_up(n, 0 if part == "train" else 1)
    return *made_up, "made-up sentences (WINNOW_BENCH_DATA names no folder with real ones)"


def recombined(texts: list[str], labels: list[str], n: int) -> tuple[list[str], list[str]]:
    """``n`` texts: those that there are, then ones made of the halves of two of a class, so that pools grow realistic.

    Words, lengths and classes are those of real texts; only their sense suffers, which no timing minds.
    """
    rng = np.random.default_rng(0)
    made, classes = list(texts[:n]), list(labels[:n])
    of_class: dict[str, list[list[str]]] = {}
    for text, label in zip(texts, labels, strict=True):
        of_class.setdefault(label, []).append(text.split())
    while len(made) < n:
        label = labels[int(rng.integers(len(labels)))]
        first, second = (of_class[label][int(k)] for k in rng.integers(len(of_class[label]), size=2))
        made.append(" ".join([*first[: len(first) // 2 + 1], *second[len(second) // 2 :]]))
        classes.append(label)
    return made, classes


def sample_texts(n: int) -> tuple[list[str], str]:
    """Up to ``n`` texts and what they are."""
    texts, _, source = labelled_texts(n)
    return texts, source


def _made_up(n: int, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    texts, classes = [], []
    for _ in range(n):
        topic = list(_TOPICS)[rng.integers(len(_TOPICS))]
        nouns, verbs = (words.split() for words in _TOPICS[topic])
        words = [
            str(rng.choice(_FILLING if rng.random() < 0.6 else nouns if rng.random() < 0.7 else verbs))
            for _ in range(int(rng.integers(8, 45)))
        ]
        texts.append(" ".join(words))
        classes.append(topic)
    return texts, classes
