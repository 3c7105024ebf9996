"""``winnow simulate``: the same round as the service's, with a file's labels as the oracle."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from winnow.errors import Invalid
from winnow.intake import fold_text
from winnow.project_settings import TEACHERS
from worker.class_names import name_phrases, name_words
from worker.curves import area_under, labels_to
from worker.dataset import Dataset
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import BoolArray, IntArray, PreviousRound, RawItem, RoundData, RoundResult
from worker.savings import SHARES, Arm, arms_and_savings
from worker.teaching import REGISTERED, Taught

if TYPE_CHECKING:
    from models.teachers import LogisticTeacher

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class SimulateOptions:
    """The options of ``winnow simulate``; see the contract.

    Attributes:
        strategy: Name of a query strategy.
        initial: Labels of the first batch, from the strategy's own cold start; ``batch`` where None.
        batch: Labels of each later one.
        schedule: Pairs of labels and batch, ascending: once so many are bought, each later batch has that size.
        budget: Labels in all; the whole pool where that is smaller.
        seeds: How many runs, seeded 0, 1, …
        baseline: ``random`` or ``none``.
        baseline_features: ``raw`` leaves the features that have spread over the graph of neighbours to the strategy;
            ``same`` gives them to the baseline too; ``both`` runs random sampling in either way, so that what is saved
            by selection and by semi-supervision can be told apart. That takes half as long again.
        encoder: Name of an encoder; ``auto`` for the one that a project would use.
        teacher: What gives students their soft labels, as in `Recipe`; it changes neither ``accuracy`` nor queries.
        classifier: What ``sklearn:NAME`` stands for, as in `Recipe`.
        student: ``auto``, or ``none`` to leave distillation out.
        ranker: ``teacher`` or ``student``: whose probabilities rank.
        noise: Share of answers that are wrong, each a class drawn at random.
        student_growth: How far labels must have grown for the next student, as a factor; 1 trains one each round. The
            steps between have None in ``student_accuracy``.
    """

    strategy: str = "auto"
    initial: int | None = None
    batch: int = 20
    schedule: tuple[tuple[int, int], ...] = ()
    budget: int = 400
    seeds: int = 5
    baseline: str = "random"
    baseline_features: str = "raw"
    encoder: str = "auto"
    teacher: str = "auto"
    classifier: Mapping[str, Any] | None = None
    student: str = "auto"
    ranker: str = "teacher"
    noise: float = 0.0
    student_growth: float = 1.0

    def __post_init__(self) -> None:
        from sampler.strategies import get_strategy

        get_strategy(self.strategy)
        for name in ("batch", "budget", "seeds"):
            if getattr(self, name) < 1:
                raise Invalid(f"{name}: must be 1 or more")
        if self.initial is not None and self.initial < 1:
            raise Invalid("initial: must be 1 or more")
        if any(labels < 1 or batch < 1 for labels, batch in self.schedule) or list(self.schedule) != sorted(
            dict(self.schedule).items()
        ):
            raise Invalid("schedule: pairs of labels and batch, each 1 or more, the labels ascending")
        _one_of("baseline", self.baseline, ("random", "none"))
        _one_of("baseline_features", self.baseline_features, ("raw", "same", "both"))
        if not self.teacher.startswith(REGISTERED):
            _one_of("teacher", self.teacher, TEACHERS["text"])
        elif self.classifier is None:
            raise Invalid(f"teacher: '{self.teacher}' is not registered: name it in WINNOW_CLASSIFIERS")
        _one_of("student", self.student, ("auto", "none"))
        _one_of("ranker", self.ranker, ("teacher", "student"))
        if not 0.0 <= self.noise < 1.0:
            raise Invalid("noise: a share of answers, 0 or more and less than 1")
        if self.ranker == "student" and self.student == "none":
            raise Invalid("ranker: there is no student to rank with; leave out --student none")
        if self.student_growth < 1.0 or (self.ranker == "student" and self.student_growth > 1.0):
            raise Invalid("student_growth: 1 or more, and 1 where the student ranks")

    def batch_after(self, bought: int) -> int:
        """How many labels the batch has that follows ``bought`` of them, at least 1.

        >>> options = SimulateOptions(batch=10, schedule=((400, 50),))
        >>> options.batch_after(390), options.batch_after(400)
        (10, 50)
        """
        return next((batch for labels, batch in reversed(self.schedule) if bought >= labels), self.batch)


def simulate(
    pool: Dataset, test: Dataset, options: SimulateOptions, progress: Progress | None = None
) -> dict[str, Any]:
    """Buy labels round by round, for several seeds, beside random sampling.

    Args:
        pool: What may be bought; its labels are the oracle.
        test: What the models are scored on; nothing else sees it.
        options: How.
        progress: Told how far it is, 0 … 1, and what it does.

    Returns:
        The JSON object of the contract.

    Raises:
        Invalid: The files do not go together, or there is nothing to choose between.
        SamplerError, ModelError: An unknown strategy or encoder, or data that cannot be used.
    """
    say = progress or _quiet
    bench = Bench.of(pool, test, options, say)
    full = bench.full_pool()
    plan = _plan(options)
    arms: dict[str, Arm] = {}
    for number, (name, (strategy, features)) in enumerate(plan.items()):
        seen = bench.without_diffusion() if features == "raw" else bench
        runs = []
        for seed in range(options.seeds):
            share = (number * options.seeds + seed) / (len(plan) * options.seeds)
            said = strategy if name == "strategy" else f"{strategy} ({features} features)"
            say(0.1 + 0.9 * share, f"{said}, seed {seed}")
            runs.append(run_seed(seen, replace(options, strategy=strategy), seed))
        arms[name] = Arm(strategy, features, runs)
    ours, *baselines = arms.values()
    baseline = baselines[0].runs if baselines else None
    summaries, savings = arms_and_savings(arms, full, np.random.default_rng(0x0C))
    say(1.0, "done")
    return {
        "strategy": options.strategy,
        "encoder": bench.encoder,
        "n_pool": len(pool),
        "n_test": len(test),
        "n_classes": bench.n_classes,
        "full_pool_accuracy": full,
        "seeds": ours.runs,
        "baseline": baselines[0].to_dict() if baselines else None,
        "baseline_same": baselines[1].to_dict() if len(baselines) > 1 else None,
        "labels_to": {share: labels_to(float(share), full, ours.runs, baseline) for share in SHARES},
        "area_under_curve": {
            "strategy": area_under(ours.runs),
            "baseline": None if baseline is None else area_under(baseline),
        },
        "arms": summaries,
        "savings": savings,
    }


def _plan(options: SimulateOptions) -> dict[str, tuple[str, str]]:
    """The arms to run: strategy and features of each."""
    plan = {"strategy": (options.strategy, "same")}
    if options.baseline == "random":
        both = options.baseline_features == "both"
        wanted = ("raw", "same") if both else (options.baseline_features,)
        plan |= {f"random_{features}": ("random", features) for features in wanted}
    return plan


@dataclass(frozen=True)
class Bench:
    """Encoded data. ``y`` is the oracle's: only bought rows of it are ever read. Test rows only score."""

    task: str
    encoder: str
    class_names: tuple[str, ...]
    features: NDArray[np.floating[Any]]
    items: Sequence[RawItem]
    y: IntArray
    test_features: NDArray[np.floating[Any]]
    test_items: Sequence[RawItem]
    test_y: IntArray
    spread: Mapping[str, NDArray[np.floating[Any]]]
    test_spread: Mapping[str, NDArray[np.floating[Any]]]
    groups: IntArray
    class_vectors: NDArray[np.floating[Any]] | None = None
    class_phrases: NDArray[np.floating[Any]] | None = None

    @classmethod
    def of(
        cls,
        pool: Dataset,
        test: Dataset,
        options: SimulateOptions,
        progress: Progress | None = None,
        *,
        encoded: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]] | None = None,
        class_vectors: Mapping[str, NDArray[np.floating[Any]]] | None = None,
        class_phrases: Mapping[str, NDArray[np.floating[Any]]] | None = None,
    ) -> Bench:
        """Encode both files, or take the features that ``encoded`` has kept of them, and diffuse them.

        With ``encoded`` go ``class_vectors`` and ``class_phrases``: the name of each class, and its phrasings, by the
        same encoder, where that reads texts.

        Raises:
            Invalid: The files do not go together, or there is nothing to choose between.
        """
        if pool.task != test.task:
            raise Invalid("the pool and the test file must be of one kind: both .jsonl or both .npz")
        names = tuple(sorted(set(pool.labels), key=_natural))
        if len(names) < 2:
            raise Invalid("the pool's labels name only one class: there is nothing to choose between")
        index = {name: i for i, name in enumerate(names)}
        # A class that only the test file has gets an index that no model can answer with: such rows are never right.
        for name in sorted(set(test.labels) - set(names), key=_natural):
            index[name] = len(index)
        if isinstance(pool.items, np.ndarray) and isinstance(test.items, np.ndarray):
            if pool.items.shape[1] != test.items.shape[1]:
                raise Invalid(
                    f"the pool has {pool.items.shape[1]} features a row, the test file {test.items.shape[1]}: "
                    "they must be the same"
                )
            if options.encoder not in ("auto", "none"):
                raise Invalid(f"encoder: features are taken as they are; '{options.encoder}' cannot be applied")
        if encoded is not None:
            encoder, features, test_features = options.encoder, *encoded
            vectors = None if class_vectors is None else np.stack([class_vectors[name] for name in names])
            phrases = None if class_phrases is None else np.stack([class_phrases[name] for name in names])
        else:
            made = _encoded(pool, test, options.encoder, names, progress or _quiet)
            encoder, features, test_features, vectors, phrases = made
        spread, test_spread = _spread(features, test_features)
        return cls(
            task=pool.task,
            encoder=encoder,
            class_names=names,
            features=features,
            items=list(pool.items),
            y=np.array([index[label] for label in pool.labels], dtype=np.int64),
            test_features=test_features,
            test_items=list(test.items),
            test_y=np.array([index[label] for label in test.labels], dtype=np.int64),
            spread=spread,
            test_spread=test_spread,
            groups=_groups(pool.items),
            class_vectors=vectors,
            class_phrases=phrases,
        )

    def without_diffusion(self) -> Bench:
        """The same with the features as they are."""
        return replace(self, spread={}, test_spread={})

    @property
    def n_classes(self) -> int:
        """How many classes the pool has."""
        return len(self.class_names)

    def full_pool(self) -> float:
        """Accuracy of the same teacher on all labels, raw features."""
        from models.teachers import LogisticTeacher

        uniform = np.ones(len(self.y), dtype=bool)
        teacher = LogisticTeacher.fit(
            self.features, self.y, self.n_classes, uniform, rng=np.random.default_rng(0), pool=self.features
        )
        return self.scores(teacher.predict_proba(self.test_features))[0]

    def scores(self, probabilities: NDArray[np.floating[Any]]) -> tuple[float, float]:
        """Accuracy and macro-F1 on the test rows."""
        from models.evaluate import accuracy, macro_f1

        guesses = probabilities.argmax(axis=1)
        n_classes = max(self.n_classes, int(self.test_y.max()) + 1)
        return accuracy(self.test_y, guesses), macro_f1(self.test_y, guesses, n_classes)

    def data(self, bought: IntArray, answers: IntArray, drawn_uniformly: bool) -> RoundData:
        """A round's input: these rows have these answers, all others may be bought."""
        return RoundData(
            task=self.task,
            class_names=self.class_names,
            features=self.features,
            raw=lambda rows: [self.items[int(row)] for row in rows],
            labeled_rows=bought,
            y=answers,
            exploration=np.full(len(bought), drawn_uniformly),
            candidate_rows=np.setdiff1d(np.arange(len(self.y), dtype=np.int64), bought),
            spread=self.spread,
            groups=self.groups,
            class_vectors=self.class_vectors,
            class_phrases=lambda: self.class_phrases,
        )

    def test_probabilities(self, teacher: LogisticTeacher) -> NDArray[np.floating[Any]]:
        """What a teacher thinks of the test rows, in its view of them."""
        return teacher.predict_proba(self.test_spread.get(teacher.view, self.test_features))

    def test_soft_labels(self, taught: Taught, head: LogisticTeacher) -> NDArray[np.floating[Any]]:
        """What would be a student's soft labels of the test rows."""
        features = self.test_spread.get(head.view, self.test_features)
        texts = [item for item in self.test_items if isinstance(item, str)]
        return taught.composite.of_items(features, texts)


def run_seed(bench: Bench, options: SimulateOptions, seed: int) -> dict[str, Any]:
    """One seed's curve: an entry of ``seeds`` in the contract."""
    budget = min(options.budget, len(bench.y))
    oracle = _Oracle(bench, options.noise, seed)
    run: dict[str, Any] = {
        "seed": seed, "labels": [], "accuracy": [], "macro_f1": [], "student_accuracy": [],
        "composite_accuracy": [], "teacher_kind": [], "queries": [],
        "round_seconds": [], "rank_seconds": [],
    }  # fmt: skip
    bought = np.empty(0, dtype=np.int64)
    previous: PreviousRound | None = None
    first = min(options.initial or options.batch, budget)
    step, distilled = 0, 0
    result = run_round(oracle.data(bought, options), _recipe(options, first, seed), None, _generator(seed, step))
    while len(bought) < budget:
        batch = result.rows[: min(first if step == 0 else options.batch_after(len(bought)), budget - len(bought))]
        bought = np.concatenate([bought, batch])
        step += 1
        started = time.perf_counter()
        due = len(bought) >= options.student_growth * distilled or len(bought) == budget
        distilled = len(bought) if due else distilled
        recipe = _recipe(options, options.batch_after(len(bought)), seed, with_student=due)
        result = run_round(oracle.data(bought, options), recipe, previous, _generator(seed, step))
        run["round_seconds"].append(round(time.perf_counter() - started, 4))
        run["rank_seconds"].append(round(result.timings.get("rank", 0.0), 4))
        run["labels"].append(len(bought))
        run["queries"].append(batch.tolist())
        _score(run, bench, result, oracle.answers(bought), with_student=due and options.student != "none")
        previous = _next(previous, result, bench)
    if options.student == "none":
        run["student_accuracy"] = None
    for key in ("composite_accuracy", "teacher_kind"):
        if not any(run[key]):
            run[key] = None
    return run


class _Oracle:
    """Answers for bought rows, some of them wrong: which ones, and how, hangs on the row and the seed alone."""

    def __init__(self, bench: Bench, noise: float, seed: int):
        rng = np.random.default_rng([seed, 0x0A])
        self._bench = bench
        self._wrong: BoolArray = rng.random(len(bench.y)) < noise
        self._shift: IntArray = rng.integers(1, max(2, bench.n_classes), len(bench.y))

    def answers(self, rows: IntArray) -> IntArray:
        """The class that each row is given."""
        y = self._bench.y[rows]
        return np.where(self._wrong[rows], (y + self._shift[rows]) % self._bench.n_classes, y)

    def data(self, rows: IntArray, options: SimulateOptions) -> RoundData:
        return self._bench.data(rows, self.answers(rows), options.strategy == "random")


def _recipe(options: SimulateOptions, batch: int, seed: int, *, with_student: bool = True) -> Recipe:
    # Rankings are built so that a short one is the start of a long one: ranking just the batch changes nothing.
    return Recipe(
        strategy=options.strategy,
        encoder=options.encoder,
        teacher=options.teacher,
        classifier=options.classifier,
        student=options.student if with_student else "none",
        ranker=options.ranker,
        seed=seed,
        batch_size=batch,
        queue_size=batch,
    )


def _generator(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, 0x0B, step])


def _score(run: dict[str, Any], bench: Bench, result: RoundResult, answers: IntArray, *, with_student: bool) -> None:
    teacher: LogisticTeacher | None = result.teacher
    if teacher is not None:
        probabilities = bench.test_probabilities(teacher)
    else:
        # A single class so far: all that can be said is that class.
        probabilities = np.zeros((len(bench.test_y), bench.n_classes))
        probabilities[:, int(answers[0])] = 1.0
    value, f1 = bench.scores(probabilities)
    run["accuracy"].append(value)
    run["macro_f1"].append(f1)
    student = result.student
    guesses = student.predict_proba(bench.test_items) if student is not None else probabilities
    run["student_accuracy"].append(bench.scores(guesses)[0] if with_student else None)
    taught = result.taught
    soft = bench.test_soft_labels(taught, teacher) if taught is not None and teacher is not None else None
    run["composite_accuracy"].append(None if soft is None else bench.scores(soft)[0])
    run["teacher_kind"].append(result.metrics.get("teacher_kind"))


def _next(previous: PreviousRound | None, result: RoundResult, bench: Bench) -> PreviousRound | None:
    if result.teacher is None:
        return previous
    carried = replace(previous or PreviousRound(), teacher=result.teacher_arrays(), class_names=bench.class_names)
    if result.student is not None and result.promoted:
        carried = replace(carried, student=result.student.arrays(), student_family=result.student.family)
    return replace(carried, **result.carry)


def _encoded(
    pool: Dataset, test: Dataset, name: str, classes: Sequence[str], say: Progress
) -> tuple[str, NDArray[np.floating[Any]], NDArray[np.floating[Any]], NDArray[np.float32] | None, Any]:
    """The encoder's name and the features of both files and of the classes' names, as the service would keep them.

    Last come several phrasings of each name, (n_classes, phrasings, d); None where there are no names to read.
    """
    if isinstance(pool.items, np.ndarray) and isinstance(test.items, np.ndarray):
        return "none", pool.items, test.items, None, None
    from models.encoders import make_encoder

    with tempfile.TemporaryDirectory(prefix="winnow-simulate-") as folder:
        encoder = make_encoder(name, pool.task, cache=Path(folder))
        texts, test_texts = list(pool.items), list(test.items)
        if encoder.needs_fit:
            rng = np.random.default_rng(0)
            encoder.fit([texts[i] for i in np.sort(rng.permutation(len(texts))[:20_000])], rng)
        total = len(texts) + len(test_texts)
        parts: list[NDArray[np.float32]] = []
        for start in range(0, total, 512):
            say(0.1 * start / total, f"encoding with {encoder.name}: {start} of {total}")
            parts.append(encoder.encode((texts + test_texts)[start : start + 512]).features)
        features = np.concatenate(parts).astype(encoder.dtype)
        vectors = encoder.encode([name_words(name) for name in classes]).features
        phrased = encoder.encode([phrase for name in classes for phrase in name_phrases(name)]).features
    phrases = phrased.reshape(len(classes), -1, phrased.shape[1])
    return encoder.name, features[: len(texts)], features[len(texts) :], vectors, phrases


def _spread(
    features: NDArray[np.floating[Any]], test_features: NDArray[np.floating[Any]]
) -> tuple[dict[str, NDArray[np.floating[Any]]], dict[str, NDArray[np.floating[Any]]]]:
    """Views of both files after the pool has spread over its graph; test rows are nobody's neighbours."""
    from models.teachers import column_scaling
    from sampler.auto_constants import LEAST_ROWS
    from sampler.diffusion import diffuse
    from worker.diffused import spread_views

    if len(features) < LEAST_ROWS:
        return {}, {}
    rows = np.arange(len(features), dtype=np.int64)
    scaling = column_scaling(features)
    pool = diffuse(features, rows, scaling=scaling)
    return (
        spread_views(features, pool.of_rows(rows).astype(np.float16), scaling),
        spread_views(test_features, pool.of_features(test_features).astype(np.float16), scaling),
    )


def _groups(items: Sequence[RawItem] | NDArray[np.float32]) -> IntArray:
    """For each item the first of its near-duplicates, as the service knows them: by its words, or its very features."""
    first: dict[str | bytes, int] = {}
    names = (fold_text(item) if isinstance(item, str) else np.asarray(item).tobytes() for item in items)
    return np.array([first.setdefault(name, row) for row, name in enumerate(names)], dtype=np.int64)


def _quiet(fraction: float, message: str) -> None:
    """Progress that nobody looks at."""


def _natural(label: str) -> tuple[int, int, str]:
    """Numbers in their order, then names in theirs."""
    return (0, int(label), "") if label.isdecimal() else (1, 0, label)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Invalid(f"{name}: '{value}' is not one of {', '.join(allowed)}")
