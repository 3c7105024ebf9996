"""What teaches best: each member, the choice between them and their average, on test sets, and what choosing costs.

``python -m bench.teachers --features FOLDER`` prints the tables of docs/teachers.md. Labels are drawn uniformly; the
pool has its graph of neighbours, as in the service. ``--json`` prints the runs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.made_sets import made_set
from bench.real_features import keep_features
from bench.texts import labelled_texts
from models.evaluate import accuracy, log_loss
from models.members import TeacherMember
from models.stack import CompositeTeacher, TeacherChoice, choose_teacher
from models.teachers import LogisticTeacher
from worker.class_names import name_phrases
from worker.dataset import Dataset
from worker.recipe import Recipe
from worker.simulate import SimulateOptions
from worker.simulated_pool import Bench
from worker.teaching import TeachingStep

TEXTS, FEATURES = ("agnews", "banking77"), ("digits", "wine")
FOREST = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 200, "n_jobs": 1}}
_ASKED = 5_000


class Remembered:
    """A member that cross-fits once: what the choice and the average ask for is the same."""

    def __init__(self, member: TeacherMember):
        self.member = member
        self._answers: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """The member's."""
        return self.member.name

    def cross_fitted(self, folds: NDArray[np.int64]) -> NDArray[np.float32]:
        """The member's, the first time."""
        if self._answers is None:
            self._answers = self.member.cross_fitted(folds)
        return self._answers

    def fit(self) -> None:
        """The member's."""
        self.member.fit()

    def predict_proba(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The member's."""
        return self.member.predict_proba(rows)

    def of_items(self, features: Any, texts: Any) -> NDArray[np.float32]:
        """The member's."""
        answer: NDArray[np.float32] = self.member.of_items(features, texts)  # type: ignore[attr-defined]
        return answer


def bench_of(name: str, folder: Path) -> Bench:
    """One of the sets as a round sees it, with its features kept in ``folder``."""
    options = SimulateOptions(encoder="minilm" if name in TEXTS else "auto")
    if name in FEATURES:
        data = made_set(name, 0)
        pool = Dataset("features", data.X.astype(np.float32), tuple(map(str, data.y)))
        test = Dataset("features", data.test_features.astype(np.float32), tuple(map(str, data.test_y)))
        return Bench.of(pool, test, options)
    data = keep_features(name, folder)
    texts, labels, _ = labelled_texts(1_000_000, name)
    test_texts, test_labels, _ = labelled_texts(1_000_000, name, "test")
    pool, test = Dataset("text", texts, tuple(labels)), Dataset("text", test_texts, tuple(test_labels))
    encoded = (data.X, data.test_features)
    return Bench.of(pool, test, options, encoded=encoded, class_phrases=_phrases(name, folder, sorted(set(labels))))


def _phrases(name: str, folder: Path, classes: list[str]) -> dict[str, NDArray[np.float32]]:
    from models.encoders import make_encoder

    kept = folder / f"{name}.phrases.npz"
    if not kept.exists():
        encoder = make_encoder("minilm", "text", cache=folder / "encoders")
        phrases = [encoder.encode(name_phrases(each)).features for each in classes]
        np.savez(kept, phrases=np.stack(phrases))
    with np.load(kept, allow_pickle=False) as arrays:
        return dict(zip(classes, arrays["phrases"], strict=True))


def run(bench: Bench, labels: int, seed: int, classifier: dict[str, Any] | None = None) -> dict[str, Any]:
    """Accuracy and log-loss on the test rows of everything that may teach after ``labels`` random labels.

    ``choice_s`` is what choosing took, ``teach_s`` the choice's training and its answers for up to 5,000 rows that it
    has not read yet, ``again_s`` the same answers again; all in CPU-seconds, beside what the head took (``head_s``).
    """
    rng = np.random.default_rng([seed, labels])
    bought = np.sort(rng.permutation(len(bench.y))[:labels])
    data = bench.data(bought, bench.y[bought], True)
    began = time.process_time()
    head = LogisticTeacher.fit_views(data.views, bought, data.y, data.n_classes, data.exploration, rng=rng)
    head_s = time.process_time() - began
    recipe = Recipe(teacher="auto" if classifier is None else "sklearn:forest", classifier=classifier)
    step = TeachingStep(data, recipe, None, head, seed)
    members = [Remembered(member) for member in step.members({})]
    began = time.process_time()
    choice = choose_teacher(members, data.y, step.folds())
    choice_s = time.process_time() - began
    stack = choose_teacher(members, data.y, step.folds(), asked="stacked")
    rows = rng.permutation(len(bench.y))[:_ASKED]
    began = time.process_time()
    teacher = CompositeTeacher(members, choice)
    teacher.predict_proba(rows)
    teach_s = time.process_time() - began
    began = time.process_time()
    teacher.predict_proba(rows)
    again_s = time.process_time() - began
    scores = {member.name: _scored(bench, head, CompositeTeacher(members, _alone(member.name))) for member in members}
    scores["stacked"] = _scored(bench, head, CompositeTeacher(members, stack))
    scores["auto"] = _scored(bench, head, teacher)
    return {
        "labels": labels, "seed": seed, "kind": choice.kind, "scores": scores, "weights": dict(stack.weights),
        "head_s": head_s, "choice_s": choice_s, "teach_s": teach_s, "again_s": again_s,
    }  # fmt: skip


def zero_shot(bench: Bench) -> tuple[float, float] | None:
    """Accuracy and log-loss of the classes' names alone; None where they cannot be read."""
    from worker.teaching import name_prototypes

    names = name_prototypes(bench.data(np.empty(0, np.int64), np.empty(0, np.int64), True))
    if names is None:
        return None
    P = names.zero_shot(list({"raw": bench.test_features, **bench.test_spread}.values())[-1])
    return accuracy(bench.test_y, P.argmax(axis=1)), log_loss(bench.test_y, P)


def _alone(name: str) -> TeacherChoice:
    return TeacherChoice(name, {name: 1.0})


def _scored(bench: Bench, head: LogisticTeacher, teacher: CompositeTeacher) -> tuple[float, float]:
    features = bench.test_spread.get(head.view, bench.test_features)
    P = teacher.of_items(features, [item for item in bench.test_items if isinstance(item, str)])
    return accuracy(bench.test_y, P.argmax(axis=1)), log_loss(bench.test_y, P)


def table(runs: list[dict[str, Any]]) -> str:
    """Means over the seeds, a row for each number of labels: accuracy and log-loss of each, what was chosen, costs."""
    names = [name for name in runs[0]["scores"] if name != "auto"]
    head = ["labels", *names, "auto", "chosen", "choice s", "teach s", "again s", "head s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for labels in sorted({one["labels"] for one in runs}):
        some = [one for one in runs if one["labels"] == labels]
        cells = [str(labels)]
        for name in [*names, "auto"]:
            means = np.mean([one["scores"][name] for one in some], axis=0)
            cells.append(f"{means[0]:.3f} / {means[1]:.2f}")
        kinds = [one["kind"] for one in some]
        cells.append(", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds)))
        cells += [f"{np.mean([one[key] for one in some]):.2f}" for key in ("choice_s", "teach_s", "again_s", "head_s")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m bench.teachers", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="where features are kept; encoded the first time")
    parser.add_argument("--sets", nargs="+", default=[*TEXTS, *FEATURES], choices=[*TEXTS, *FEATURES])
    parser.add_argument("--labels", nargs="+", type=int, default=[50, 200, 400, 1_500])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    for name in chosen.sets:
        bench = bench_of(name, chosen.features)
        classifier = FOREST if name in FEATURES else None
        counts = [n for n in chosen.labels if n <= len(bench.y)]
        runs = []
        for labels in counts:
            for seed in range(chosen.seeds):
                runs.append(run(bench, labels, seed, classifier))
                print(f"{name}: {labels} labels, seed {seed}", file=sys.stderr)
        found[name] = {"zero_shot": zero_shot(bench), "runs": runs}
        if not chosen.json:
            names_alone = found[name]["zero_shot"]
            said = "" if names_alone is None else f"; names alone {names_alone[0]:.3f} / {names_alone[1]:.2f}"
            print(f"{name} (accuracy / log-loss on {len(bench.test_y)} test rows{said})\n\n{table(runs)}\n", flush=True)
    if chosen.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
