"""``winnow simulate``: the same round as the service's, with a file's labels as the oracle."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.errors import Invalid
from winnow.project_settings import TEACHERS
from worker.curves import area_under, labels_to
from worker.dataset import Dataset
from worker.encoded_files import Progress
from worker.encoder_comparison import labels_choose
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import BoolArray, IntArray, PreviousRound, RoundData, RoundResult
from worker.savings import SHARES, Arm, arms_and_savings
from worker.simulated_pool import Bench, Rivals
from worker.teaching import REGISTERED

if TYPE_CHECKING:
    from models.teachers import LogisticTeacher


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
        encoder: Name of an encoder; ``auto`` for the one that a project would begin with, and then those that labels
            choose.
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
    with tempfile.TemporaryDirectory(prefix="winnow-simulate-") as folder:
        choose = labels_choose(options.encoder, options.student, options.teacher)
        rivals = Rivals(bench, pool, test, Path(folder)) if choose else None
        arms = _run_arms(bench, options, rivals, say)
        ours = next(iter(arms.values())).runs
        ended_with = Counter(_last_encoder(run, bench) for run in ours).most_common(1)[0][0]
        if rivals is not None:
            bench = rivals.bench(ended_with)
    outcome = _outcome(arms, bench, options)
    say(1.0, "done")
    return outcome


def _run_arms(bench: Bench, options: SimulateOptions, rivals: Rivals | None, say: Progress) -> dict[str, Arm]:
    plan = _plan(options)
    arms: dict[str, Arm] = {}
    for number, (name, (strategy, features)) in enumerate(plan.items()):
        seen = bench.without_diffusion() if features == "raw" else bench
        runs = []
        for seed in range(options.seeds):
            share = (number * options.seeds + seed) / (len(plan) * options.seeds)
            said = strategy if name == "strategy" else f"{strategy} ({features} features)"
            say(0.1 + 0.9 * share, f"{said}, seed {seed}")
            runs.append(run_seed(seen, replace(options, strategy=strategy), seed, rivals))
        arms[name] = Arm(strategy, features, runs)
    return arms


def _outcome(arms: Mapping[str, Arm], bench: Bench, options: SimulateOptions) -> dict[str, Any]:
    ours, *baselines = arms.values()
    baseline = baselines[0].runs if baselines else None
    full = bench.full_pool()
    summaries, savings = arms_and_savings(arms, full, np.random.default_rng(0x0C))
    return {
        "strategy": options.strategy,
        "encoder": bench.encoder,
        "n_pool": len(bench.y),
        "n_test": len(bench.test_y),
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


def _last_encoder(run: Mapping[str, Any], bench: Bench) -> str:
    """The encoder that a run ended with."""
    choices = run["encoder_choices"]
    return str(choices[-1]["encoder"]) if choices else bench.encoder


def _plan(options: SimulateOptions) -> dict[str, tuple[str, str]]:
    """The arms to run: strategy and features of each."""
    plan = {"strategy": (options.strategy, "same")}
    if options.baseline == "random":
        both = options.baseline_features == "both"
        wanted = ("raw", "same") if both else (options.baseline_features,)
        plan |= {f"random_{features}": ("random", features) for features in wanted}
    return plan


def run_seed(bench: Bench, options: SimulateOptions, seed: int, rivals: Rivals | None = None) -> dict[str, Any]:
    """One seed's curve: an entry of ``seeds`` in the contract. With ``rivals`` its labels choose the encoder."""
    budget = min(options.budget, len(bench.y))
    oracle = _Oracle(bench, options.noise, seed)
    run: dict[str, Any] = {
        "seed": seed, "labels": [], "accuracy": [], "macro_f1": [], "student_accuracy": [],
        "composite_accuracy": [], "teacher_kind": [], "encoder_choices": [], "queries": [],
        "round_seconds": [], "rank_seconds": [],
    }  # fmt: skip
    bought = np.empty(0, dtype=np.int64)
    previous: PreviousRound | None = None
    first = min(options.initial or options.batch, budget)
    step, distilled = 0, 0
    data = oracle.data(bench, bought, options)
    result = run_round(data, _recipe(options, first, seed), None, _generator(seed, step))
    while len(bought) < budget:
        batch = result.rows[: min(first if step == 0 else options.batch_after(len(bought)), budget - len(bought))]
        bought = np.concatenate([bought, batch])
        step += 1
        data = oracle.data(bench, bought, options)
        if rivals is not None and (choice := rivals.choice(data, bench.encoder, run["encoder_choices"], seed)):
            run["encoder_choices"].append(choice.to_dict())
            if choice.encoder != bench.encoder:
                bench = rivals.bench_beside(bench, choice.encoder)
                previous = None if previous is None else previous.with_another_encoder()
                data = oracle.data(bench, bought, options)
        started = time.perf_counter()
        due = len(bought) >= options.student_growth * distilled or len(bought) == budget
        distilled = len(bought) if due else distilled
        recipe = _recipe(options, options.batch_after(len(bought)), seed, with_student=due)
        result = run_round(data, recipe, previous, _generator(seed, step))
        run["round_seconds"].append(round(time.perf_counter() - started, 4))
        run["rank_seconds"].append(round(result.timings.get("rank", 0.0), 4))
        run["labels"].append(len(bought))
        run["queries"].append(batch.tolist())
        _score(run, bench, result, oracle.answers(bought), with_student=due and options.student != "none")
        previous = _next(previous, result, bench)
    if options.student == "none":
        run["student_accuracy"] = None
    for key in ("composite_accuracy", "teacher_kind", "encoder_choices"):
        if not any(run[key]):
            run[key] = None
    return run


class _Oracle:
    """Answers for bought rows, some of them wrong: which ones, and how, hangs on the row and the seed alone."""

    def __init__(self, bench: Bench, noise: float, seed: int):
        rng = np.random.default_rng([seed, 0x0A])
        self._y, self._n_classes = bench.y, bench.n_classes
        self._wrong: BoolArray = rng.random(len(bench.y)) < noise
        self._shift: IntArray = rng.integers(1, max(2, bench.n_classes), len(bench.y))

    def answers(self, rows: IntArray) -> IntArray:
        """The class that each row is given."""
        y = self._y[rows]
        return np.where(self._wrong[rows], (y + self._shift[rows]) % self._n_classes, y)

    def data(self, bench: Bench, rows: IntArray, options: SimulateOptions) -> RoundData:
        return bench.data(rows, self.answers(rows), options.strategy == "random")


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


def _quiet(fraction: float, message: str) -> None:
    """Progress that nobody looks at."""


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Invalid(f"{name}: '{value}' is not one of {', '.join(allowed)}")
