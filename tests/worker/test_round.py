"""One round on real models and small features: what it trains, measures, decides and ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.evaluate import expected_calibration_error
from sampler.errors import SamplerError
from sampler.groups import rank_groups
from worker import side_by_side
from worker.measure import measured
from worker.recipe import Recipe
from worker.round import NoCheckpoints, PreviousRound, RoundData, RoundResult, run_round, settle_labels
from worker.students import StudentStep

NAMES = ("ant", "bee", "cat")
RECIPE = Recipe(strategy="auto", batch_size=5, queue_size=30)


class Kept(NoCheckpoints):
    """Checkpoints in memory; can lose the job after a step."""

    def __init__(self, lose_after: str | None = None):
        self.steps: dict[str, dict[str, Any]] = {}
        self.said: list[tuple[float, str]] = []
        self.lose_after = lose_after

    def load(self, step: str) -> Mapping[str, Any] | None:
        return self.steps.get(step)

    def save(self, step: str, arrays: Mapping[str, Any]) -> None:
        self.steps[step] = {name: np.array(array) for name, array in arrays.items()}
        if step == self.lose_after:
            raise InterruptedError(step)

    def progress(self, fraction: float, message: str) -> None:
        self.said.append((fraction, message))


def blobs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    return (centres[y] + rng.normal(scale=0.8, size=(n, 4))).astype(np.float32), y


X, Y = blobs(600)


def make_data(n_labeled: int = 40, n_holdout: int = 60, **changes: Any) -> RoundData:
    """Rows 0… are the holdout, the next ones labelled, the rest free."""
    holdout = np.arange(n_holdout)
    labeled = np.arange(n_holdout, n_holdout + n_labeled)
    fields: dict[str, Any] = {
        "task": "features",
        "class_names": NAMES,
        "features": X,
        "raw": lambda rows: [X[row] for row in rows],
        "labeled_rows": labeled,
        "y": Y[labeled],
        "exploration": np.arange(n_labeled) % 10 == 0,
        "candidate_rows": np.arange(n_holdout + n_labeled, len(X)),
        "holdout_rows": holdout,
        "holdout_y": Y[holdout],
    }
    return RoundData(**(fields | changes))


def run(data: RoundData, previous: PreviousRound | None = None, seed: int = 0, **recipe: Any) -> RoundResult:
    return run_round(data, replace(RECIPE, **recipe), previous, np.random.default_rng(seed))


def after(result: RoundResult) -> PreviousRound:
    """What the next round is given."""
    assert result.teacher is not None
    assert result.student is not None
    return PreviousRound(
        result.teacher.arrays(), result.student.arrays(), result.student.family, result.student.class_names,
        **result.carry,
    )  # fmt: skip


@pytest.fixture(scope="module")
def first() -> RoundResult:
    return run(make_data())


def test_a_round_trains_measures_promotes_and_ranks(first: RoundResult) -> None:
    assert (first.state, first.promoted, first.reason) == ("trained", True, "the first student")
    assert first.teacher is not None
    assert first.student is not None
    assert first.student.class_names == NAMES
    assert len(first.rows) == len(first.scores) == len(first.reasons) == len(first.labels) == 30
    assert set(first.rows.tolist()) <= set(range(100, 600))
    assert np.isfinite(first.scores).all()
    assert first.flops > 1e6
    assert set(first.timings) == {"settle", "teacher", "student", "promote", "measure", "rank"}


def test_the_guesses_of_ranked_rows_are_the_teachers(first: RoundResult) -> None:
    assert first.teacher is not None
    probabilities = first.teacher.predict_proba(X[first.rows])
    np.testing.assert_array_equal(first.labels, probabilities.argmax(axis=1))
    np.testing.assert_allclose(first.confidences, probabilities.max(axis=1), rtol=1e-5)


def test_what_is_drawn_says_with_which_probability_and_what_is_picked_says_nothing(first: RoundResult) -> None:
    assert first.probabilities is None
    kept = Kept()
    recipe = replace(RECIPE, strategy="power_margin", student="none", queue_size=500)
    drawn = run_round(make_data(), recipe, None, np.random.default_rng(0), kept)
    assert drawn.teacher is not None
    assert drawn.probabilities is not None
    p = np.sort(drawn.teacher.predict_proba(X[drawn.rows]), axis=1)
    weights = np.maximum(1.0 - (p[:, -1] - p[:, -2]), 1e-6)
    np.testing.assert_allclose(drawn.probabilities, weights / np.cumsum(weights[::-1])[::-1], rtol=1e-5)
    again = run_round(make_data(), recipe, None, np.random.default_rng(0), kept)
    np.testing.assert_array_equal(again.probabilities, drawn.probabilities)


@pytest.mark.parametrize("n_labeled", [0, 40])
def test_one_of_each_group_is_asked_for_before_any_is_asked_for_again(n_labeled: int) -> None:
    groups = np.arange(600)
    groups[350:] = groups[100:350]
    data = make_data(n_labeled=n_labeled, groups=groups)
    result = run(data, strategy="uncertainty_herding", student="none", queue_size=1_000)
    assert sorted(result.rows.tolist()) == sorted(data.candidate_rows.tolist())
    begin = 60 + n_labeled
    assert sorted(result.rows[: 350 - begin].tolist()) == list(range(begin, 350))


def test_where_a_draw_has_no_model_yet_the_cold_start_is_drawn_evenly() -> None:
    data = make_data(n_labeled=0)
    result = run(data, strategy="power_margin")
    assert result.state == "no_data"
    np.testing.assert_array_equal(result.probabilities, 1.0 / np.arange(540, 510, -1))


def test_both_models_are_measured_with_an_interval(first: RoundResult) -> None:
    metrics = first.metrics
    assert first.student is not None
    right = int((first.student.predict_proba([X[i] for i in range(60)]).argmax(axis=1) == Y[:60]).sum())
    assert metrics["accuracy"]["value"] == right / 60
    assert metrics["accuracy"]["labels"] == 60
    assert metrics["accuracy"]["low"] < right / 60 < metrics["accuracy"]["high"]
    assert set(metrics["accuracy"]) == {"value", "low", "high", "labels"}
    assert metrics["teacher"]["value"] > 0.8
    assert metrics["student"]["macro_f1"] > 0.7
    assert metrics["measured_on"] == "holdout"
    assert metrics["agreement"] > 0.85
    assert metrics["exploration_labels"] == 4


@pytest.mark.parametrize(
    ("strategy", "n_labeled", "ranked_by", "phase", "why"),
    [
        ("auto", 12, "herding", "cold_start", "12 labels of 20 are too few to trust what the model doubts"),
        ("auto", 40, "uncertainty_herding", "doubts", "40 labels are enough to trust what the model doubts"),
        ("margin", 12, "margin", None, None),
    ],
)
def test_a_round_says_what_ranked_and_why(
    strategy: str, n_labeled: int, ranked_by: str, phase: str | None, why: str | None
) -> None:
    result = run(make_data(n_labeled), strategy=strategy, student="none")
    assert result.metrics["ranking"] == {"strategy": strategy, "ranked_by": ranked_by, "phase": phase, "why": why}
    # What is said is what was done: that strategy gives the same rows.
    same = run(make_data(n_labeled), strategy=ranked_by, student="none")
    np.testing.assert_array_equal(result.rows, same.rows)


def test_where_nothing_can_be_learned_a_round_draws_at_random_and_says_so() -> None:
    features = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    result = run(make_data(40, features=features), student="none")
    metrics = result.metrics
    assert (metrics["ranking"]["phase"], metrics["ranking"]["ranked_by"]) == ("by_chance", "random")
    assert metrics["chance_loss"] == pytest.approx(np.log(3), abs=0.03)
    assert result.probabilities is not None
    learned = run(make_data(40), student="none").metrics
    assert learned["view_losses"][learned["teacher_view"]] < learned["chance_loss"] / 2


@pytest.mark.parametrize(
    ("strategy", "ranked_by", "why"),
    [
        ("auto", "herding", "nothing is labelled yet"),
        ("clustered_margin", "typiclust", "there is no model yet, and the strategy needs one"),
        ("entropy", "random", "there is no model yet, and the strategy needs one"),
    ],
)
def test_so_does_one_without_a_model(strategy: str, ranked_by: str, why: str) -> None:
    ranking = run(make_data(0), strategy=strategy).metrics["ranking"]
    assert (ranking["strategy"], ranking["ranked_by"], ranking["why"]) == (strategy, ranked_by, why)


def test_probabilities_are_measured_and_calibration_from_two_hundred_labels_on(first: RoundResult) -> None:
    for model in ("teacher", "student"):
        assert 0 < first.metrics[model]["brier"] < 0.5
        assert first.metrics[model]["ece"] is None
    assert first.student is not None
    many = measured(Y[:200], first.student.predict_proba(list(X[:200])))
    assert many is not None
    assert many["ece"] == expected_calibration_error(Y[:200], first.student.predict_proba(list(X[:200])))


def test_half_of_the_explored_labels_say_how_sure_the_student_may_be_and_teach_it_nothing() -> None:
    asked: list[list[int]] = []

    def raw(rows: np.ndarray) -> list[np.ndarray]:
        asked.append(rows.tolist())
        return [X[row] for row in rows]

    data = make_data(80, exploration=np.arange(80) < 40, raw=raw)
    result = run(data)
    pool, learned, apart = asked[:3]
    assert result.metrics["distillation"]["calibrated_on"] == len(apart)
    assert 10 <= len(apart) <= 30
    assert set(apart) <= set(range(60, 100))
    assert not set(apart) & {*pool, *learned}
    assert sorted([*learned, *apart]) == list(range(60, 140))
    asked.clear()
    run(make_data(120, exploration=np.arange(120) < 60, raw=raw), after(result))
    assert set(apart) <= set(asked[2])  # the warm student of more labels was never taught these either
    few = run(make_data(40, exploration=np.arange(40) < 29))
    assert few.metrics["distillation"]["calibrated_on"] == 0


def test_under_fifty_measured_labels_nothing_is_claimed() -> None:
    metrics = run(make_data(n_holdout=49)).metrics
    assert metrics["accuracy"] is None
    assert metrics["student"] is None
    assert metrics["note"] == "not yet measurable: 49 measured labels"
    assert metrics["measured_labels"] == 49


def test_an_own_test_set_is_named_as_such() -> None:
    assert run(make_data(holdout_is_test=True), student="none").metrics["measured_on"] == "test"


def test_measured_rows_are_neither_trained_on_nor_ranked_whatever_names_them() -> None:
    data = make_data()
    everything = np.arange(600)
    leaky = replace(
        data, candidate_rows=everything, labeled_rows=everything[:100], y=np.r_[np.zeros(60, np.int64), Y[60:100]],
        exploration=np.zeros(100, bool),
    )  # fmt: skip
    clean = replace(data, exploration=np.zeros(40, bool))
    assert run(leaky).rows.tolist() == run(clean).rows.tolist()
    assert run(leaky).metrics["labels"] == 40


def test_the_student_reads_measured_and_pending_rows_to_be_measured_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import models.distill

    real = models.distill.distil
    read: list[np.ndarray] = []

    def watched(family: str, items: Any, soft: Any, labeled: Any, y: Any, **options: Any) -> Any:
        read.extend([*items, *labeled])
        return real(family, items, soft, labeled, y, **options)

    monkeypatch.setattr(models.distill, "distil", watched)
    run(make_data(pending_rows=np.array([300, 301]), candidate_rows=np.arange(600)))
    kept_apart = {X[row].tobytes() for row in [*range(60), 300, 301]}
    assert len(read) > 400
    assert not kept_apart & {item.tobytes() for item in read}


def test_pending_rows_are_not_ranked() -> None:
    pending = run(make_data(), student="none").rows[:5]
    again = run(make_data(pending_rows=pending), student="none")
    assert not set(again.rows.tolist()) & set(pending.tolist())


@pytest.mark.parametrize("strategy", ["auto", "margin", "committee", "random", "coreset"])
def test_a_project_without_labels_has_no_data_but_a_ranking(strategy: str) -> None:
    result = run(make_data(n_labeled=0), strategy=strategy)
    assert (result.state, result.promoted, result.teacher, result.student) == ("no_data", False, None, None)
    assert "nothing is labelled yet" in result.reason
    assert len(set(result.rows.tolist())) == 30
    assert set(result.labels.tolist()) == {-1}
    assert result.metrics["accuracy"] is None


def test_a_single_class_is_no_data_either_and_is_named() -> None:
    result = run(make_data(y=np.full(40, 1)))
    assert result.state == "no_data"
    assert "only 'bee' has labels yet" in result.reason


def test_a_class_without_labels_is_reported_as_never_seen() -> None:
    data = make_data(class_names=("ant", "bee", "cat", "dog"))
    result = run(data)
    assert result.state == "trained"
    assert result.metrics["classes_never_seen"] == ["dog"]
    drawn = 4 + 60
    assert result.metrics["unseen_share"]["value"] == 0.0
    assert result.metrics["unseen_share"]["labels"] == drawn
    assert 0.0 < result.metrics["unseen_share"]["high"] < 0.1
    assert "'dog' has no label yet: hardly any of the pool (95 % interval <1 % to " in result.metrics["explanation"]


def test_the_unseen_share_is_that_of_uniformly_drawn_labels_of_classes_that_nothing_is_trained_on() -> None:
    known = np.where(Y[60:100] == 2, 0, Y[60:100])
    held = int((Y[:60] == 2).sum())
    result = run(make_data(y=known))
    assert result.metrics["classes_never_seen"] == ["cat"]
    assert result.metrics["unseen_share"]["value"] == held / 64
    own_test = run(make_data(y=known, holdout_is_test=True))
    assert own_test.metrics["unseen_share"]["labels"] == 4, "a test set was not drawn from the pool"
    nothing = run(make_data(exploration=np.zeros(40, bool), holdout_rows=np.empty(0, np.int64), holdout_y=Y[:0]))
    assert nothing.metrics["unseen_share"] is None
    assert "no label yet" not in nothing.metrics["explanation"]


def test_a_class_without_labels_is_looked_for_by_its_name() -> None:
    names = ("ant", "bee", "cat", "dog", "eel")
    centres = np.eye(5, 6, dtype=np.float32)
    y = np.where(np.arange(400) < 390, np.arange(400) % 4, 4)
    features = centres[y] + np.random.default_rng(0).normal(scale=0.15, size=(400, 6)).astype(np.float32)
    fields: dict[str, Any] = {
        "class_names": names, "features": features, "labeled_rows": np.arange(40), "y": y[:40],
        "exploration": np.zeros(40, bool), "candidate_rows": np.arange(40, 400), "holdout_rows": np.arange(0),
        "holdout_y": np.arange(0), "raw": lambda rows: [features[row] for row in rows],
    }  # fmt: skip
    found = run(make_data(**fields, class_vectors=centres), student="none")
    assert y[found.rows[0]] == 4
    assert found.reasons[0] == "may be the first of 'eel'"
    assert not any(reason.startswith("may be") for reason in run(make_data(**fields), student="none").reasons)
    other = run(make_data(**fields, class_vectors=centres), student="none", strategy="margin")
    assert not any(reason.startswith("may be") for reason in other.reasons)


def test_an_empty_pool_is_trained_on_and_nothing_is_ranked() -> None:
    result = run(make_data(candidate_rows=np.empty(0, np.int64)))
    assert result.state == "trained"
    assert len(result.rows) == 0


def test_the_same_seed_gives_the_same_round(first: RoundResult) -> None:
    again = run(make_data())
    assert again.student is not None
    assert first.student is not None
    np.testing.assert_array_equal(again.rows, first.rows)
    np.testing.assert_array_equal(again.scores, first.scores)
    for name, array in again.student.arrays().items():
        np.testing.assert_array_equal(array, first.student.arrays()[name])
    other = run(make_data(), seed=1)
    assert other.student is not None
    assert any((array != other.student.arrays()[name]).any() for name, array in again.student.arrays().items())


@pytest.mark.parametrize("step", ["teacher", "student", "ranking"])
def test_a_round_that_was_killed_after_a_step_ends_as_if_it_had_not_been(first: RoundResult, step: str) -> None:
    checkpoints = Kept(lose_after=step)
    with pytest.raises(InterruptedError):
        run_round(make_data(), RECIPE, None, np.random.default_rng(0), checkpoints)
    checkpoints.lose_after = None
    resumed = run_round(make_data(), RECIPE, None, np.random.default_rng(0), checkpoints)
    np.testing.assert_array_equal(resumed.rows, first.rows)
    np.testing.assert_array_equal(resumed.labels, first.labels)
    assert resumed.reasons == first.reasons
    assert resumed.carry == first.carry
    assert resumed.student is not None
    assert first.student is not None
    for name, array in resumed.student.arrays().items():
        np.testing.assert_array_equal(array, first.student.arrays()[name])
    for volatile in ("distillation",):
        resumed.metrics[volatile] = first.metrics[volatile]
    assert resumed.metrics == first.metrics


def test_a_step_that_is_checkpointed_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Kept()
    run_round(make_data(), RECIPE, None, np.random.default_rng(0), checkpoints)
    assert set(checkpoints.steps) == {"teacher", "student", "ranking"}

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("models.teachers.LogisticTeacher.fit", never)
    monkeypatch.setattr("models.distill.distil", never)
    assert run_round(make_data(), RECIPE, None, np.random.default_rng(0), checkpoints).state == "trained"


def test_progress_only_grows() -> None:
    checkpoints = Kept()
    run_round(make_data(), RECIPE, None, np.random.default_rng(0), checkpoints)
    fractions = [fraction for fraction, _ in checkpoints.said]
    assert fractions == sorted(fractions)
    assert 0.0 < fractions[0] < fractions[-1] < 1.0


def test_a_second_round_is_warm_and_the_fifth_after_a_cold_one_is_cold(first: RoundResult) -> None:
    warm = run(make_data(n_labeled=45), after(first))
    assert first.metrics["cold"] is True
    assert first.carry["rounds_since_cold"] == 0
    assert warm.metrics["cold"] is False
    assert warm.carry == {**first.carry, "rounds_since_cold": 1, "trained_labels": 45}
    assert warm.metrics["harm"].keys() == {"measured", "agreement", "exploration"}
    late = run(make_data(n_labeled=45), replace(after(first), rounds_since_cold=4))
    assert late.metrics["cold"] is True
    assert late.carry["rounds_since_cold"] == 0


def test_labels_that_have_grown_by_a_third_make_a_cold_start(first: RoundResult) -> None:
    assert first.carry["cold_labels"] == 40
    grown = run(make_data(n_labeled=52), after(first))
    assert grown.metrics["cold"] is True
    assert grown.carry["cold_labels"] == 52


def test_a_warm_student_that_has_drifted_from_its_teacher_is_trained_afresh(first: RoundResult) -> None:
    drifted = replace(after(first), cold_agreement=1.5)
    assert run(make_data(n_labeled=45), drifted).metrics["cold"] is True


def test_a_class_that_was_added_makes_a_cold_start_and_the_old_student_is_still_compared(first: RoundResult) -> None:
    result = run(make_data(class_names=("zebra", *NAMES), y=Y[60:100] + 1, holdout_y=Y[:60] + 1), after(first))
    assert result.metrics["cold"] is True
    assert result.promoted
    assert abs(result.metrics["harm"]["measured"]) < 5


def broken_distil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distillation that learns the classes turned round."""
    import models.distill

    real: Callable[..., Any] = models.distill.distil

    def turned(family: str, items: Any, soft: Any, labeled: Any, y: Any, **options: Any) -> Any:
        return real(family, items, np.roll(soft, 1, axis=1), labeled, (y + 1) % 3, **options)

    monkeypatch.setattr(models.distill, "distil", turned)


def test_a_student_that_is_worse_is_held_with_the_reason_and_the_next_one_starts_afresh(
    first: RoundResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken_distil(patched)
        held = run(make_data(n_labeled=45), replace(after(first), rounds_since_cold=4))
    assert held.promoted is False
    assert held.reason.startswith("held: on 60 measured labels")
    assert "agrees with the teacher on" in held.reason
    assert held.student is not None
    following = run(make_data(n_labeled=50), replace(after(first), **held.carry))
    assert following.metrics["cold"] is True
    assert following.promoted


def test_without_a_student_the_teacher_is_what_is_measured() -> None:
    result = run(make_data(), student="none")
    assert result.student is None
    assert result.promoted is False
    assert result.reason == "no student was asked for"
    assert result.metrics["accuracy"]["value"] == result.metrics["teacher"]["value"]


def test_the_student_ranks_where_it_is_asked_to() -> None:
    by_student = run(make_data(), ranker="student", strategy="margin")
    assert by_student.student is not None
    probabilities = by_student.student.predict_proba([X[row] for row in by_student.rows])
    np.testing.assert_array_equal(by_student.labels, probabilities.argmax(axis=1))
    assert by_student.rows.tolist() != run(make_data(), strategy="margin").rows.tolist()


def test_texts_are_distilled_into_a_student_that_reads_texts() -> None:
    words = (("river", "water", "boat"), ("engine", "wheel", "road"), ("cloud", "rain", "wind"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words[c], 4)) for c in Y]
    data = make_data(task="text", raw=lambda rows: [texts[row] for row in rows])
    result = run(data)
    assert result.student is not None
    assert result.student.family == "static"
    assert result.metrics["accuracy"]["value"] > 0.8
    choice = result.metrics["student_choice"]
    assert [row["family"] for row in choice["candidates"]] == ["static", "hashed"]
    assert choice["family"] == "static"
    assert result.metrics["explanation"].endswith(f" The student is of the family static: {choice['why']}.")
    assert result.carry["family_labels"] == result.metrics["labels"]


def test_a_round_is_the_same_to_the_bit_whether_its_parts_go_side_by_side_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (("river", "water", "boat"), ("engine", "wheel", "road"), ("cloud", "rain", "wind"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words[c], 4)) for c in Y]
    data = make_data(task="text", raw=lambda rows: [texts[row] for row in rows])
    found, trained_on = [], []
    original = StudentStep._distil

    def watched(self: StudentStep, *args: Any) -> Any:
        trained_on.append(threading.get_ident())
        return original(self, *args)

    monkeypatch.setattr(StudentStep, "_distil", watched)
    for cores in (1, 2):
        monkeypatch.setattr(side_by_side, "usable_cores", lambda cores=cores: cores)
        found.append(run(data, strategy="auto"))
    assert [ident == threading.get_ident() for ident in trained_on] == [True, True, False, False]
    alone, beside = found
    assert alone.rows.tolist() == beside.rows.tolist()
    assert alone.scores.tobytes() == beside.scores.tobytes()
    assert alone.student is not None
    assert beside.student is not None
    assert alone.student.family == beside.student.family
    for name, array in alone.student.arrays().items():
        assert array.tobytes() == beside.student.arrays()[name].tobytes(), name
    assert set(beside.cpu) == set(beside.timings) == set(alone.timings)
    assert min(beside.cpu.values()) >= 0


def test_what_goes_wrong_in_a_ranking_begun_ahead_is_said_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise SamplerError("No strategy can rank these.")

    monkeypatch.setattr("worker.round.rank_groups", fails)
    kept = Kept()
    with pytest.raises(SamplerError, match="No strategy can rank these"):
        run_round(make_data(), RECIPE, None, np.random.default_rng(0), kept)
    assert set(kept.steps) == {"teacher", "student"}, "what was done before it is kept"


def test_a_large_pool_is_ranked_once_the_student_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 2)
    ranked_on = []

    def watched(*args: Any) -> Any:
        ranked_on.append(threading.get_ident() == threading.main_thread().ident)
        return rank_groups(*args)

    monkeypatch.setattr("worker.round.rank_groups", watched)
    run(make_data(), strategy="margin")
    monkeypatch.setattr("worker.round._MOST_AHEAD", 499)
    run(make_data(), strategy="margin")
    assert ranked_on == [False, True]


def test_families_are_compared_again_when_labels_have_doubled_and_a_budget_decides() -> None:
    words = (("river", "water", "boat"), ("engine", "wheel", "road"), ("cloud", "rain", "wind"))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words[c], 4)) for c in Y]
    data = make_data(task="text", raw=lambda rows: [texts[row] for row in rows])
    first = run(data)
    assert first.teacher is not None
    assert first.student is not None
    labels = first.metrics["labels"]

    def after(labels_then: int, **recipe: Any) -> RoundResult:
        assert first.teacher is not None
        assert first.student is not None
        carry = {**first.carry, "family_labels": labels_then, "cold_labels": 1}
        previous = PreviousRound(
            first.teacher.arrays(), first.student.arrays(), first.student.family, data.class_names, **carry
        )
        return run(data, previous, **recipe)

    assert after(labels // 2 + 1).metrics["student_choice"] is None
    again = after(labels // 2, student_mb=0.02)
    assert again.student is not None
    assert again.student.family == "static"
    assert [row["within_budget"] for row in again.metrics["student_choice"]["candidates"]] == [True, False]
    named = after(labels // 2, student="hashed")
    assert named.student is not None
    assert (named.student.family, named.metrics["student_choice"]) == ("hashed", None)


def test_labels_of_several_people_are_settled_by_what_most_said_and_then_by_who_was_first() -> None:
    rows = np.array([9, 3, 3, 3, 9, 5, 5, 5, 5])
    y = np.array([2, 0, 1, 1, 0, 1, 2, 2, 1])
    explored = np.array([True, False, False, True, False, False, False, False, False])
    settled = settle_labels(rows, y, explored, 3)
    assert settled[0].tolist() == [3, 5, 9]
    assert settled[1].tolist() == [1, 1, 2]
    assert settled[2].tolist() == [True, False, True]


def test_the_regularisation_is_kept_until_the_labels_have_grown_by_a_third(first: RoundResult) -> None:
    assert first.teacher is not None
    few = run(make_data(n_labeled=50), after(first), student="none")
    many = run(make_data(n_labeled=60), after(first), student="none")
    assert few.teacher is not None
    assert many.teacher is not None
    assert (few.teacher.chosen_at, few.teacher.C) == (40, first.teacher.C)
    assert many.teacher.chosen_at == 60


def test_metrics_and_carry_are_json(first: RoundResult) -> None:
    import json

    assert json.loads(json.dumps(first.metrics, allow_nan=False)) == first.metrics
    assert json.loads(json.dumps(first.carry, allow_nan=False)) == first.carry
