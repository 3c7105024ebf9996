"""Simulations: the contract's output, and that labels nobody asked for reach nothing but the scoring."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.teachers import LogisticTeacher
from sampler.errors import UnknownStrategy
from sampler.peers import MODAL
from sampler.strategies import strategy_names
from winnow.errors import Invalid
from worker.dataset import Dataset
from worker.simulate import SimulateOptions, simulate
from worker.simulated_pool import Bench

FAST = SimulateOptions(batch=8, budget=32, seeds=2, student="none")


def features(n: int, seed: int, n_classes: int = 3) -> Dataset:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = np.eye(n_classes, 5)[y] * 2.0 + rng.normal(scale=0.7, size=(n, 5))
    return Dataset("features", X.astype(np.float32), tuple("xyz"[c] for c in y))


POOL, TEST = features(200, 0), features(90, 1)


def texts(n: int, seed: int) -> Dataset:
    words = (("river", "water", "boat", "fish"), ("engine", "wheel", "road", "fuel"))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return Dataset("text", [" ".join(rng.choice(words[c], 3)) for c in y], tuple(("wet", "dry")[c] for c in y))


@pytest.fixture(scope="module")
def outcome() -> dict[str, Any]:
    return simulate(POOL, TEST, FAST)


def queries(outcome: dict[str, Any]) -> list[list[list[int]]]:
    return [run["queries"] for run in outcome["seeds"]]


def test_the_output_is_that_of_the_contract(outcome: dict[str, Any]) -> None:
    assert set(outcome) == {
        "strategy", "encoder", "n_pool", "n_test", "n_classes", "full_pool_accuracy", "seeds", "baseline",
        "labels_to", "area_under_curve", "baseline_same", "arms", "savings",
    }  # fmt: skip
    assert (outcome["strategy"], outcome["encoder"]) == ("auto", "none")
    assert (outcome["n_pool"], outcome["n_test"], outcome["n_classes"]) == (200, 90, 3)
    assert 0.8 < outcome["full_pool_accuracy"] <= 1.0
    assert set(outcome["labels_to"]) == {"0.95", "0.98"}
    assert set(outcome["labels_to"]["0.95"]) == {"threshold", "strategy", "baseline", "saved", "censored"}
    assert set(outcome["area_under_curve"]) == {"strategy", "baseline"}
    assert set(outcome["baseline"]) == {"strategy", "features", "seeds"}
    assert outcome["baseline"]["strategy"] == "random"
    assert outcome["baseline_same"] is None
    assert set(outcome["arms"]) == {"strategy", "random_raw"}
    assert outcome["savings"]["selection"] is outcome["savings"]["semi_supervision"] is None
    for arm in (outcome["seeds"], outcome["baseline"]["seeds"]):
        assert [run["seed"] for run in arm] == [0, 1]
        for run in arm:
            assert set(run) == {
                "seed", "labels", "accuracy", "macro_f1", "student_accuracy", "composite_accuracy", "teacher_kind",
                "encoder_choices", "queries", "round_seconds", "rank_seconds",
            }  # fmt: skip
            assert run["labels"] == [8, 16, 24, 32]
            assert {len(run[name]) for name in ("accuracy", "macro_f1", "round_seconds", "rank_seconds")} == {4}
            assert [len(batch) for batch in run["queries"]] == [8, 8, 8, 8]
            assert run["student_accuracy"] is run["composite_accuracy"] is run["teacher_kind"] is None
            assert run["encoder_choices"] is None
    json.dumps(outcome, allow_nan=False)


def test_no_near_duplicate_is_asked_for_before_each_group_has_been() -> None:
    base = texts(40, 0)
    alike = [f"{text.upper()} !" for text in base.items]
    n_groups = len(set(base.items))
    pool = Dataset("text", [*alike, *base.items], base.labels * 2)
    options = replace(FAST, encoder="hashed", seeds=1, strategy="clustered_margin", budget=n_groups // 8 * 8)
    outcome = simulate(pool, texts(20, 1), options)
    asked = [pool.items[row].lower().strip(" !") for batch in outcome["seeds"][0]["queries"] for row in batch]
    assert len(set(asked)) == len(asked) == n_groups // 8 * 8
    drawn = [row for batch in outcome["baseline"]["seeds"][0]["queries"] for row in batch]
    assert len({pool.items[row].lower().strip(" !") for row in drawn}) < len(drawn), "random draws each item alike"


def test_no_row_is_asked_for_twice(outcome: dict[str, Any]) -> None:
    for arm in (outcome["seeds"], outcome["baseline"]["seeds"]):
        for run in arm:
            rows = [row for batch in run["queries"] for row in batch]
            assert len(set(rows)) == 32
            assert min(rows) >= 0
            assert max(rows) < 200


def test_thresholds_areas_and_crossings_follow_from_the_curves(outcome: dict[str, Any]) -> None:
    full = outcome["full_pool_accuracy"]
    assert outcome["labels_to"]["0.98"]["threshold"] == pytest.approx(0.98 * full)
    mean = np.mean([run["accuracy"] for run in outcome["seeds"]], axis=0)
    assert outcome["area_under_curve"]["strategy"] == pytest.approx(mean.mean())


def test_seeds_differ_and_repeat(outcome: dict[str, Any]) -> None:
    again = simulate(POOL, TEST, FAST)
    assert queries(again) == queries(outcome)
    assert [run["accuracy"] for run in again["seeds"]] == [run["accuracy"] for run in outcome["seeds"]]
    assert queries(outcome)[0] != queries(outcome)[1]
    assert outcome["baseline"]["seeds"][0]["queries"] != queries(outcome)[0]


def others_permuted(pool: Dataset, asked: set[int], seed: int) -> Dataset:
    """The pool with the labels that were not asked for dealt out anew."""
    rng = np.random.default_rng(seed)
    labels = list(pool.labels)
    others = [row for row in range(len(labels)) if row not in asked]
    for row, source in zip(others, rng.permutation(others), strict=True):
        labels[row] = pool.labels[source]
    return replace(pool, labels=tuple(labels))


PEERS = [f"modal:{name}" for name in MODAL if name != "expected_error_reduction"]  # which takes its time


@pytest.mark.parametrize("strategy", [*strategy_names(), *PEERS])
def test_labels_that_were_not_asked_for_change_no_query(strategy: str) -> None:
    options = replace(FAST, strategy=strategy, seeds=1, budget=24, baseline="none", noise=0.1)
    before = simulate(POOL, TEST, options)
    asked = {row for batch in before["seeds"][0]["queries"] for row in batch}
    after = simulate(others_permuted(POOL, asked, seed=3), TEST, options)
    assert queries(after) == queries(before)
    assert after["seeds"][0]["accuracy"] == before["seeds"][0]["accuracy"]
    assert after["full_pool_accuracy"] != before["full_pool_accuracy"]


@pytest.mark.parametrize("ranker", ["teacher", "student"])
def test_nor_do_they_with_a_student_and_nor_do_test_labels(ranker: str) -> None:
    options = replace(FAST, student="auto", ranker=ranker, seeds=1, baseline="none", budget=24)
    before = simulate(POOL, TEST, options)
    asked = {row for batch in before["seeds"][0]["queries"] for row in batch}
    pool = others_permuted(POOL, asked, seed=3)
    test = replace(TEST, labels=tuple(np.random.default_rng(5).permutation(TEST.labels).tolist()))
    after = simulate(pool, test, options)
    assert queries(after) == queries(before)
    assert after["seeds"][0]["accuracy"] != before["seeds"][0]["accuracy"]


def test_a_label_that_was_asked_for_does_change_queries(outcome: dict[str, Any]) -> None:
    """The control of the tests above: answers do reach the ranking."""
    first = queries(outcome)[0][0]
    labels = list(POOL.labels)
    for row in first:
        labels[row] = {"x": "y", "y": "z", "z": "x"}[labels[row]] if row % 2 else labels[row]
    options = replace(FAST, strategy="margin")
    assert queries(simulate(replace(POOL, labels=tuple(labels)), TEST, options)) != queries(
        simulate(POOL, TEST, options)
    )


def test_noise_makes_answers_wrong_and_the_model_worse() -> None:
    clean = simulate(POOL, TEST, replace(FAST, strategy="random", seeds=3, baseline="none"))
    noisy = simulate(POOL, TEST, replace(FAST, strategy="random", seeds=3, baseline="none", noise=0.45))
    assert noisy["area_under_curve"]["strategy"] < clean["area_under_curve"]["strategy"] - 0.05
    assert noisy["full_pool_accuracy"] == clean["full_pool_accuracy"]
    assert queries(noisy)[0][0] == queries(clean)[0][0]


def test_an_initial_batch_of_another_size_comes_from_the_cold_start() -> None:
    run = simulate(POOL, TEST, replace(FAST, initial=5, budget=20, seeds=1, baseline="none"))["seeds"][0]
    assert run["labels"] == [5, 13, 20]
    assert [len(batch) for batch in run["queries"]] == [5, 8, 7]


def test_a_budget_beyond_the_pool_ends_with_the_pool() -> None:
    small = replace(POOL, items=POOL.items[:30], labels=POOL.labels[:30])
    run = simulate(small, TEST, replace(FAST, budget=400, seeds=1, baseline="none"))["seeds"][0]
    assert run["labels"] == [8, 16, 24, 30]
    assert sorted(row for batch in run["queries"] for row in batch) == list(range(30))


def test_a_first_batch_of_one_class_is_scored_as_that_class() -> None:
    labels = tuple("x" if row < 190 else "y" for row in range(200))
    outcome = simulate(
        replace(POOL, labels=labels), replace(TEST, labels=("x",) * 60 + ("y",) * 30),
        replace(FAST, strategy="random", batch=2, budget=4, seeds=1, baseline="none", student="auto"),
    )  # fmt: skip
    run = outcome["seeds"][0]
    assert run["accuracy"][0] == run["student_accuracy"][0] == pytest.approx(60 / 90)


def test_a_class_that_only_the_test_file_has_is_never_right() -> None:
    test = replace(TEST, labels=(*TEST.labels[:60], *(["new"] * 30)))
    outcome = simulate(POOL, test, replace(FAST, seeds=1, baseline="none"))
    assert outcome["n_classes"] == 3
    assert outcome["full_pool_accuracy"] <= 60 / 90


def test_texts_go_through_an_encoder_and_a_student_and_a_baseline_may_be_left_out() -> None:
    said: list[tuple[float, str]] = []
    options = replace(FAST, student="auto", encoder="hashed", seeds=1, budget=24, baseline="none")
    outcome = simulate(texts(150, 0), texts(60, 1), options, lambda share, message: said.append((share, message)))
    assert outcome["encoder"] == "hashed"
    assert outcome["baseline"] is None
    assert outcome["area_under_curve"]["baseline"] is None
    assert len(outcome["seeds"][0]["student_accuracy"]) == 3
    assert outcome["seeds"][0]["student_accuracy"][-1] > 0.8
    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert said[-1][0] == 1.0


def clumps(n: int, seed: int) -> Dataset:
    """Two classes of six clumps each, all apart, in fifty noisy columns."""
    rng = np.random.default_rng(seed)
    clump = rng.integers(12, size=n)
    X = np.random.default_rng(5).normal(size=(12, 50))[clump] + 1.0 * rng.normal(size=(n, 50))
    return Dataset("features", X.astype(np.float32), tuple("xy"[c % 2] for c in clump))


def test_names_of_texts_are_encoded_with_them_in_the_order_of_the_classes() -> None:
    pool, test = texts(120, 0), texts(40, 1)
    named = replace(pool, labels=tuple({"wet": "river_boat", "dry": "engine_road"}[label] for label in pool.labels))
    tested = replace(test, labels=named.labels[:40])
    bench = Bench.of(named, tested, replace(FAST, encoder="hashed"))
    assert bench.class_names == ("engine_road", "river_boat")
    assert bench.class_vectors is not None
    wet = np.array([label == "river_boat" for label in named.labels])
    nearer = bench.features.astype(np.float32) @ (bench.class_vectors[1] - bench.class_vectors[0])
    assert (nearer[wet] > 0.0).mean() > 0.9
    assert (nearer[~wet] < 0.0).mean() > 0.9
    assert bench.data(np.empty(0, np.int64), np.empty(0, np.int64), False).class_vectors is bench.class_vectors


def test_vectors_of_names_that_were_kept_are_put_in_the_order_of_the_classes() -> None:
    kept = {"z": np.float32([0, 0, 1, 0, 0]), "x": np.float32([1, 0, 0, 0, 0]), "y": np.float32([0, 1, 0, 0, 0])}
    assert isinstance(POOL.items, np.ndarray)
    assert isinstance(TEST.items, np.ndarray)
    bench = Bench.of(POOL, TEST, FAST, encoded=(POOL.items, TEST.items), class_vectors=kept)
    np.testing.assert_array_equal(bench.class_vectors, np.eye(3, 5))
    assert Bench.of(POOL, TEST, FAST).class_vectors is None


def test_the_baseline_sees_diffused_features_only_where_they_are_asked_for() -> None:
    pool, test = clumps(600, 0), clumps(300, 1)
    options = replace(FAST, seeds=2, batch=12, budget=48, strategy="random")
    raw = simulate(pool, test, options)
    same = simulate(pool, test, replace(options, baseline_features="same"))
    assert (raw["baseline"]["features"], same["baseline"]["features"]) == ("raw", "same")
    strategy = raw["area_under_curve"]["strategy"]
    assert same["area_under_curve"] == {"strategy": strategy, "baseline": strategy}
    assert strategy > raw["area_under_curve"]["baseline"] + 0.03
    assert raw["full_pool_accuracy"] == same["full_pool_accuracy"]


@pytest.mark.parametrize("view", ["raw", "blended", "diffused"])
def test_test_rows_are_seen_as_the_teacher_saw_the_pool(view: str) -> None:
    bench = Bench.of(clumps(300, 0), clumps(200, 1), FAST)
    features = {"raw": bench.features, **bench.spread}[view]
    rows = np.arange(0, 300, 3)
    teacher = LogisticTeacher.fit_views(
        {view: features}, rows, bench.y[rows], bench.n_classes, rng=np.random.default_rng(0)
    )
    seen_as = {"raw": bench.test_features, **bench.test_spread}[view]
    np.testing.assert_array_equal(bench.test_probabilities(teacher), teacher.predict_proba(seen_as))
    assert bench.scores(bench.test_probabilities(teacher))[0] > 0.8


@pytest.fixture(scope="module")
def apart() -> dict[str, Any]:
    """Three arms, teachers and students."""
    options = replace(FAST, batch=12, budget=36, baseline_features="both", student="auto")
    return simulate(clumps(400, 0), clumps(200, 1), options)


def test_both_baselines_are_run_where_they_are_asked_for(apart: dict[str, Any]) -> None:
    assert (apart["baseline"]["features"], apart["baseline_same"]["features"]) == ("raw", "same")
    assert {name: (arm["strategy"], arm["features"]) for name, arm in apart["arms"].items()} == {
        "strategy": ("auto", "same"), "random_raw": ("random", "raw"), "random_same": ("random", "same"),
    }  # fmt: skip
    assert apart["area_under_curve"]["baseline"] == pytest.approx(
        apart["arms"]["random_raw"]["teacher"]["area"]["value"], abs=1e-4
    )
    for share, reached in apart["labels_to"].items():
        total = apart["savings"]["total"]["teacher"][share]
        assert total["saved"] == pytest.approx(reached["saved"], abs=1e-3)
        assert (total["bound"] is not None) == reached["censored"]
    json.dumps(apart, allow_nan=False)


def test_the_areas_gained_by_selection_and_by_semi_supervision_add_up(apart: dict[str, Any]) -> None:
    for model in ("teacher", "student"):
        gains = {name: apart["savings"][name][model]["area"]["gain"] for name in apart["savings"]}
        assert gains["total"] == pytest.approx(gains["selection"] + gains["semi_supervision"], abs=2e-4)


def test_what_is_said_of_a_student_comes_from_the_students_curve(apart: dict[str, Any]) -> None:
    mean = np.mean([run["student_accuracy"] for run in apart["seeds"]])
    assert apart["arms"]["strategy"]["student"]["area"]["value"] == pytest.approx(mean, abs=1e-4)
    assert apart["arms"]["strategy"]["student"] != apart["arms"]["strategy"]["teacher"]


def test_a_seed_is_paired_between_the_random_arms_and_nowhere_else(apart: dict[str, Any]) -> None:
    """Random sampling draws the same rows whatever it sees: what semi-supervision saves is compared on equal labels."""
    chosen, raw, same = (queries(part) for part in (apart, apart["baseline"], apart["baseline_same"]))
    assert raw == same
    for ours, random in zip(chosen, raw, strict=True):
        assert set(ours[0]) != set(random[0])
    assert set(raw[0][0]) != set(raw[1][0])


def test_without_a_student_nothing_is_said_of_one(outcome: dict[str, Any]) -> None:
    assert [arm["student"] for arm in outcome["arms"].values()] == [None, None]
    assert outcome["savings"]["total"]["student"] is None


def test_no_test_row_has_a_part_in_the_graph_of_neighbours() -> None:
    pool, test = clumps(300, 0), clumps(300, 1)
    options = replace(FAST, seeds=1, budget=24)
    items = np.asarray(test.items)
    fewer = Dataset("features", items[:20], test.labels[:20])
    with_all, with_few = simulate(pool, test, options), simulate(pool, fewer, options)
    assert queries(with_all) == queries(with_few)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch", 0), ("budget", 0), ("seeds", 0), ("initial", 0), ("noise", 1.0), ("noise", -0.1),
        ("baseline", "margin"), ("baseline_features", "smooth"), ("student", "bert"), ("ranker", "me"),
        ("student_growth", 0.9),
    ],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(Invalid, match=f"^{option}:"):
        SimulateOptions(**{option: value})


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(UnknownStrategy, match="'best'"):
        SimulateOptions(strategy="best")


def test_ranking_by_a_student_that_is_not_trained_is_refused() -> None:
    with pytest.raises(Invalid, match="no student to rank with"):
        SimulateOptions(ranker="student", student="none")


def test_a_student_is_trained_when_labels_have_grown_and_at_the_end_and_changes_no_query() -> None:
    options = replace(FAST, student="auto", seeds=1, budget=56, baseline="none")
    some = simulate(POOL, TEST, replace(options, student_growth=1.5))["seeds"][0]
    # 8, 16 and 24 labels, then the first number that is half as much again, and the last.
    assert [value is not None for value in some["student_accuracy"]] == [True, True, True, False, True, False, True]
    every = simulate(POOL, TEST, options)["seeds"][0]
    assert None not in every["student_accuracy"]
    assert some["queries"] == every["queries"]
    assert some["accuracy"] == every["accuracy"]
    with pytest.raises(Invalid, match="1 where the student ranks"):
        SimulateOptions(ranker="student", student_growth=1.5)


@pytest.mark.parametrize(
    ("pool", "test", "changes", "why"),
    [
        (POOL, texts(20, 0), {}, "of one kind"),
        (replace(POOL, labels=("x",) * 200), TEST, {}, "only one class"),
        (POOL, Dataset("features", np.ones((4, 3), np.float32), ("x",) * 4), {}, "5 features a row, the test file 3"),
        (POOL, TEST, {"encoder": "minilm"}, "cannot be applied"),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    pool: Dataset, test: Dataset, changes: dict[str, str], why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        simulate(pool, test, replace(FAST, **changes))


def test_batches_grow_as_the_schedule_says() -> None:
    options = replace(FAST, initial=5, schedule=((13, 12), (37, 20)), budget=60, seeds=1, baseline="none")
    assert simulate(POOL, TEST, options)["seeds"][0]["labels"] == [5, 13, 25, 37, 57, 60]


@pytest.mark.parametrize("schedule", [((20, 0),), ((0, 5),), ((20, 5), (10, 8)), ((20, 5), (20, 8))])
def test_a_schedule_that_makes_no_sense_is_refused(schedule: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(Invalid, match="schedule"):
        replace(FAST, schedule=schedule)


def test_another_teacher_changes_what_students_learn_from_and_neither_queries_nor_the_heads_accuracy() -> None:
    pool, test = texts(200, 0), texts(60, 1)
    options = replace(FAST, encoder="hashed", seeds=1, batch=12, budget=24, baseline="none")
    lexical, head = (simulate(pool, test, replace(options, teacher=name)) for name in ("lexical", "logistic"))
    assert queries(lexical) == queries(head)
    [by_words], [by_head] = lexical["seeds"], head["seeds"]
    assert by_words["accuracy"] == by_head["accuracy"]
    assert by_words["teacher_kind"] == ["lexical", "lexical"]
    assert len(by_words["composite_accuracy"]) == 2
    assert by_words["composite_accuracy"][-1] > 0.9
    assert by_head["composite_accuracy"] is by_head["teacher_kind"] is None


def test_a_registered_teacher_of_features_is_scored_on_the_test_file() -> None:
    bayes = {"class": "sklearn.naive_bayes.GaussianNB"}
    options = replace(FAST, seeds=1, baseline="none", teacher="sklearn:bayes", classifier=bayes)
    [run] = simulate(POOL, TEST, options)["seeds"]
    assert run["teacher_kind"][-1] == "sklearn:bayes"
    assert run["composite_accuracy"][-1] > 0.7


@pytest.mark.parametrize(
    ("teacher", "says"),
    [("forest", "teacher: 'forest' is not one of auto, logistic"), ("sklearn:forest", "name it in WINNOW_CLASSIFIERS")],
)
def test_a_teacher_that_is_not_there_is_refused(teacher: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        replace(FAST, teacher=teacher)
