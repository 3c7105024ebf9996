"""What a language model's answers are worth to a teacher, by how often they are right and by which items are asked.

The model is made: it answers a given share of items rightly and the others wrongly at random, always rather sure. All
else is what a round does: which items are asked, the head that learns from the answers, and the share that it is given.

    python -m bench.llm --features FOLDER [--set agnews] [--seeds 5]

``FOLDER`` keeps the sets' features (`bench.real_features`); what is not there is encoded first.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import RealSet, keep_features
from models.blend import choose_share
from models.evaluate import log_loss
from models.llm.answers import Answers
from models.llm.member import AnsweredHead, Labels
from models.llm.questions import choose_measured, choose_unlabelled
from models.regularisation import deal_folds
from models.teachers import LogisticTeacher

SURE = 0.9
EXPLORED = 0.5


@dataclass(frozen=True)
class Outcome:
    """One seed: accuracy and log-loss on the test set of the head, of what learned from answers, and of the choice."""

    head: tuple[float, float]
    member: tuple[float, float]
    chosen: tuple[float, float]
    share: float
    cpu_seconds: float


def answered(y: NDArray[np.int64], n_classes: int, right: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """What a model says that is right on a share ``right`` of items, (n,)."""
    wrong = (y + rng.integers(1, n_classes, len(y))) % n_classes
    return np.where(rng.random(len(y)) < right, y, wrong)


def one_seed(data: RealSet, *, labels: int, answers: int, right: float, doubted: float, seed: int) -> Outcome:
    """A head on ``labels`` drawn labels, and what so many answers beside them make of it."""
    rng = np.random.default_rng(seed)
    X, y, k = np.asarray(data.X, np.float32), data.y, data.n_classes
    rows = np.sort(rng.permutation(len(y))[:labels])
    explored = rng.random(labels) < EXPLORED
    head = LogisticTeacher.fit(X[rows], y[rows], k, explored, rng=rng, pool=X)
    said = answered(y, k, right, rng)
    candidates = np.setdiff1d(np.arange(len(y)), rows)
    none = rows[:0]
    asked = [choose_measured(rows, explored, none, answers // 2, rng=rng)]
    free = answers - len(asked[0])
    doubts = head.predict_proba(X, candidates)
    asked.append(choose_unlabelled(candidates, doubts, None, none, free, doubted=doubted, rng=rng))
    about = np.concatenate(asked).tolist()
    told = {row: np.where(np.arange(k) == said[row], SURE, (1 - SURE) / (k - 1)) for row in about}
    began = time.process_time()
    found = Answers.of(told, dict.fromkeys(about, ()), k)
    folds = deal_folds(y[rows], explored, rng)
    alone = AnsweredHead("logistic", X, head, Labels(rows, y[rows]), Answers.none(k))
    member = AnsweredHead("llm:made", X, head, Labels(rows, y[rows]), found)
    share = choose_share(y[rows], alone.cross_fitted(folds), member.cross_fitted(folds)).value
    member.fit()
    took = time.process_time() - began
    by_head = head.predict_proba(data.test_features)
    by_member = member.head.predict_proba(data.test_features)
    both = (1 - share) * by_head + share * by_member
    first, second, third = (_measured(data.test_y, P) for P in (by_head, by_member, both))
    return Outcome(first, second, third, share, took)


def _measured(truth: NDArray[np.int64], P: NDArray[Any]) -> tuple[float, float]:
    return float((P.argmax(axis=1) == truth).mean()), log_loss(truth, P)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="Folder that keeps the features.")
    parser.add_argument("--set", default="agnews", dest="name", choices=("agnews", "banking77"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, nargs="+", default=[60, 200])
    parser.add_argument("--answers", type=int, nargs="+", default=[400])
    parser.add_argument("--right", type=float, nargs="+", default=[0.6, 0.75, 0.88, 1.0])
    parser.add_argument("--doubted", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    given = parser.parse_args()
    data = keep_features(given.name, given.features)
    print(f"{given.name}, {given.seeds} seeds, test accuracy / log-loss")
    print("| labels | answers | right | doubted | head | with answers | chosen | share | CPU-s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for labels in given.labels:
        for answers in given.answers:
            for right in given.right:
                for doubted in given.doubted:
                    fixed = {"labels": labels, "answers": answers, "right": right, "doubted": doubted}
                    seen = [one_seed(data, **fixed, seed=seed) for seed in range(given.seeds)]
                    cells = (np.mean([getattr(one, name) for one in seen], axis=0) for name in _TOLD)
                    shown = " | ".join(f"{accuracy:.3f} / {loss:.3f}" for accuracy, loss in cells)
                    share, took = (float(np.mean([getattr(one, n) for one in seen])) for n in ("share", "cpu_seconds"))
                    what = f"{labels} | {answers} | {right:g} | {doubted:g}"
                    print(f"| {what} | {shown} | {share:.2f} | {took:.2f} |", flush=True)


_TOLD = ("head", "member", "chosen")


if __name__ == "__main__":
    main()
