"""What teaches a round's student: chosen, kept until labels have grown, resumed to the bit, and said in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import UnusableClassifier
from models.stack import STACKED, CompositeTeacher
from models.teachers import LogisticTeacher
from worker.choices import explained, teacher_in_words
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import Arrays, NoCheckpoints, PreviousRound, RoundData, RoundResult
from worker.teaching import KEPT, TeachingStep, zero_shot

WORDS = (("river", "water", "boat", "fish"), ("engine", "wheel", "road", "fuel"), ("crown", "king", "queen", "court"))
N = 300
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, N)
TEXTS = [" ".join(RNG.choice(WORDS[c], 3)) + f" {n}" for n, c in enumerate(Y)]
# An encoder that sees little: the words know far more than the features.
DULL = (np.eye(3, 6)[Y] + RNG.normal(scale=1.2, size=(N, 6))).astype(np.float32)
SHARP = (np.eye(3, 6)[Y] + RNG.normal(scale=0.05, size=(N, 6))).astype(np.float32)
PHRASES = np.repeat(np.eye(3, 6, dtype=np.float32)[:, None], 2, axis=1)
FOREST = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 10}}


def make_data(n: int = 60, features: np.ndarray = DULL, **changes: Any) -> RoundData:
    rows = np.arange(n)
    fields: dict[str, Any] = {
        "task": "text",
        "class_names": ("wet", "car", "royal"),
        "features": features,
        "raw": lambda some: [TEXTS[row] for row in some],
        "labeled_rows": rows,
        "y": Y[rows],
        "exploration": np.ones(n, bool),
        "candidate_rows": np.arange(n, 240),
        "holdout_rows": np.arange(240, N),
        "holdout_y": Y[240:],
        "class_phrases": lambda: PHRASES,
    }
    return RoundData(**(fields | changes))


class Kept(NoCheckpoints):
    """Checkpoints in memory."""

    def __init__(self) -> None:
        self.steps: dict[str, Arrays] = {}

    def load(self, step: str) -> Arrays | None:
        return self.steps.get(step)

    def save(self, step: str, arrays: Arrays) -> None:
        self.steps[step] = dict(arrays)


def head_of(data: RoundData) -> LogisticTeacher:
    rng = np.random.default_rng(0)
    return LogisticTeacher.fit_views(data.views, data.labeled_rows, data.y, 3, data.exploration, rng=rng)


def taught(data: RoundData, previous: Arrays | None = None, kept: Kept | None = None, **recipe: Any) -> Any:
    step = TeachingStep(data, Recipe(**recipe), previous, head_of(data), 11)
    return step.run(kept or Kept())


@pytest.fixture(scope="module")
def chosen() -> Any:
    return taught(make_data())


def test_of_a_dull_encoder_and_telling_words_the_words_teach(chosen: Any) -> None:
    metrics = chosen.metrics
    assert metrics["teacher_kind"] in ("lexical", STACKED)
    found = {member["name"]: member for member in metrics["teacher_members"]}
    assert list(found) == ["logistic", "prototypes", "lexical"]
    assert found["lexical"]["log_loss"] < found["logistic"]["log_loss"] - 0.3
    assert found["lexical"]["accuracy"] > 0.9
    assert found["lexical"]["weight"] > 0.5
    assert metrics["teacher_chosen_at"] == 60
    assert "clearly better than the head" in metrics["teacher_why"]
    assert np.mean(chosen.predict_proba(np.arange(60, 240)).argmax(axis=1) == Y[60:240]) > 0.95


def test_where_nothing_is_clearly_better_the_head_teaches_bit_for_bit() -> None:
    data = make_data(features=SHARP)
    result = taught(data)
    assert result.metrics["teacher_kind"] == "logistic"
    assert result.metrics["teacher_why"].endswith("none is clearly better")
    rows = np.arange(100, 200)
    np.testing.assert_array_equal(result.predict_proba(rows), head_of(data).predict_proba(SHARP, rows))


def test_items_that_are_no_texts_have_only_the_head() -> None:
    result = taught(make_data(task="features"))
    assert (result.metrics["teacher_kind"], result.metrics["teacher_members"]) == ("logistic", [])
    assert result.metrics["teacher_why"] == "the head is the only teacher for these items"


@pytest.mark.parametrize("teacher", ["logistic", "lexical", "prototypes", STACKED])
def test_what_the_settings_ask_for_teaches(teacher: str) -> None:
    metrics = taught(make_data(), teacher=teacher).metrics
    assert metrics["teacher_kind"] == teacher
    assert metrics["teacher_why"].startswith("the settings say so")


@pytest.mark.parametrize("phrases", [None, lambda: None, lambda: np.zeros_like(PHRASES)])
def test_names_that_cannot_be_read_leave_the_teaching_to_the_head_and_it_says_so(phrases: Any) -> None:
    metrics = taught(make_data(class_phrases=phrases), teacher="prototypes").metrics
    assert metrics["teacher_kind"] == "logistic"
    assert "the encoder cannot read the names of the classes" in metrics["teacher_why"]
    names = [member["name"] for member in taught(make_data(class_phrases=phrases)).metrics["teacher_members"]]
    assert names == ["logistic", "lexical"]


def test_a_choice_stands_until_labels_have_grown_by_thirty_per_cent(chosen: Any) -> None:
    before = {**head_of(make_data()).arrays(), **chosen.arrays()}
    stands = taught(make_data(77), before)
    assert stands.metrics["teacher_chosen_at"] == 60
    assert stands.metrics["teacher_why"] == chosen.metrics["teacher_why"]
    assert taught(make_data(78), before).metrics["teacher_chosen_at"] == 78
    assert taught(make_data(61), before, teacher="lexical").metrics["teacher_chosen_at"] == 61
    # A member that is gone is no teacher: what is left is compared.
    names = {**chosen.kept, "choice": {**chosen.kept["choice"], "kind": "prototypes", "weights": {"prototypes": 1.0}}}
    by_names = {KEPT: replace(chosen, kept=names).arrays()[KEPT]}
    assert taught(make_data(61), by_names).metrics["teacher_kind"] == "prototypes"
    assert taught(make_data(61, class_phrases=None), by_names).metrics["teacher_chosen_at"] == 61


def test_while_it_stands_nothing_is_cross_validated_and_other_members_read_nothing(
    chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models.cross_fit
    import models.lexical

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("cross-validated again")

    for module in (models.cross_fit, models.lexical):
        monkeypatch.setattr(module, "cross_fit_softmax", never)
    assert (
        taught(make_data(61), {**head_of(make_data()).arrays(), **chosen.arrays()}).metrics["teacher_chosen_at"] == 60
    )
    monkeypatch.undo()
    sharp = taught(make_data(features=SHARP))
    unread = make_data(61, features=SHARP, raw=never, class_phrases=lambda: PHRASES)
    assert taught(unread, sharp.arrays()).metrics["teacher_kind"] == "logistic"


def test_an_attempt_that_goes_on_gives_the_same_answers_to_the_bit(chosen: Any) -> None:
    for recipe in ({}, {"teacher": STACKED}, {"teacher": "sklearn:forest", "classifier": FOREST}):
        kept = Kept()
        first = taught(make_data(), kept=kept, **recipe)
        again = taught(make_data(), kept=kept, **recipe)
        assert again.metrics == first.metrics
        rows = np.arange(60, 240)
        np.testing.assert_array_equal(again.predict_proba(rows), first.predict_proba(rows))


def test_a_registered_classifier_teaches_and_one_that_cannot_leaves_it_to_the_head() -> None:
    forest = taught(make_data(features=SHARP), teacher="sklearn:forest", classifier=FOREST)
    assert forest.metrics["teacher_kind"] == "sklearn:forest"
    assert [member["name"] for member in forest.metrics["teacher_members"]] == ["logistic", "sklearn:forest"]
    assert np.mean(forest.predict_proba(np.arange(60, 240)).argmax(axis=1) == Y[60:240]) > 0.95
    for entry, says in (
        (None, "it is not registered"),
        ({"class": "sklearn.ensemble.NoForest"}, "there is no sklearn.ensemble.NoForest"),
        ({"class": "sklearn.neighbors.KNeighborsClassifier", "params": {"n_neighbors": -1}}, "cannot be trained"),
    ):
        broken = taught(make_data(), teacher="sklearn:forest", classifier=entry)
        assert broken.metrics["teacher_kind"] == "logistic"
        assert says in broken.metrics["teacher_why"]
        assert "WINNOW_CLASSIFIERS" in broken.metrics["teacher_why"]
        assert broken.metrics["teacher_why"].endswith("Until then the head teaches")
    assert issubclass(UnusableClassifier, Exception)


def run(data: RoundData, previous: PreviousRound | None = None, kept: Kept | None = None, **recipe: Any) -> RoundResult:
    made = Recipe(**{"encoder": "none", "queue_size": 20, **recipe})
    return run_round(data, made, previous, np.random.default_rng(3), kept)


@pytest.fixture(scope="module")
def lexical_round() -> RoundResult:
    return run(make_data(), teacher="lexical")


def test_the_teacher_is_asked_once_about_what_all_families_learn_from_and_the_lesson_keeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import models.distill

    learned: list[str] = []
    asked: list[int] = []
    real, answer = models.distill.distil, CompositeTeacher.predict_proba

    def watched(family: str, *more: Any, **options: Any) -> Any:
        learned.append(family)
        return real(family, *more, **options)

    def counted(teacher: CompositeTeacher, rows: Any) -> Any:
        asked.append(len(rows))
        return answer(teacher, rows)

    monkeypatch.setattr(models.distill, "distil", watched)
    monkeypatch.setattr(CompositeTeacher, "predict_proba", counted)
    result = run(make_data(), teacher="lexical")
    assert result.lesson is not None
    transfer = len(result.lesson().numbers)
    assert sorted(learned) == ["hashed", "static"]  # side by side: which begins first is chance
    assert asked.count(transfer) == 1


def test_a_round_distils_what_teaches_and_ranks_by_the_head_alone(
    lexical_round: RoundResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    import models.distill

    soft: list[np.ndarray] = []
    real = models.distill.distil

    def watched(family: str, items: Any, given: Any, *more: Any, **options: Any) -> Any:
        soft.append(given)
        return real(family, items, given, *more, **options)

    monkeypatch.setattr(models.distill, "distil", watched)
    run(make_data(), teacher="lexical")
    logistic = run(make_data(), teacher="logistic")
    assert lexical_round.taught is not None
    assert lexical_round.teacher is not None
    assert lexical_round.lesson is not None
    rows = lexical_round.lesson().numbers
    np.testing.assert_array_equal(soft[0], lexical_round.taught.predict_proba(rows))
    np.testing.assert_array_equal(soft[-1], lexical_round.teacher.predict_proba(DULL, rows))
    np.testing.assert_array_equal(lexical_round.rows, logistic.rows)
    np.testing.assert_array_equal(lexical_round.scores, logistic.scores)
    metrics = lexical_round.metrics
    assert metrics["teacher"] == logistic.metrics["teacher"]
    assert logistic.metrics["composite"] == logistic.metrics["teacher"]
    assert metrics["composite"]["value"] > 0.95 > 0.9 > metrics["teacher"]["value"]
    assert "The student learns from words and pieces of words: the settings say so" in metrics["explanation"]
    assert set(lexical_round.timings) == {"settle", "teacher", "student", "promote", "measure", "rank"}


def test_the_next_round_goes_on_from_the_choice(lexical_round: RoundResult) -> None:
    previous = PreviousRound(teacher=lexical_round.teacher_arrays(), class_names=("wet", "car", "royal"))
    after = run(make_data(70), previous, teacher="lexical")
    assert after.metrics["teacher_chosen_at"] == 60
    assert after.metrics["teacher_c"] == lexical_round.metrics["teacher_c"]


def test_a_round_without_a_student_chooses_no_teacher_unless_asked() -> None:
    quiet = run(make_data(), student="none")
    assert quiet.taught is None
    assert "teacher_kind" not in quiet.metrics
    assert set(quiet.teacher_arrays()) == set(head_of(make_data()).arrays())
    assert run(make_data(), student="none", teacher="lexical").metrics["composite"]["value"] > 0.95


def test_without_a_label_the_names_of_the_classes_suggest_and_rank() -> None:
    nothing = make_data(0, SHARP)
    named = run(nothing, teacher="prototypes", strategy="margin")
    assert named.state == "no_data"
    assert np.mean(named.labels == Y[named.rows]) > 0.9
    assert named.confidences.min() > 1 / 3
    assert named.metrics["zero_shot"] is True
    assert named.metrics["ranking"]["ranked_by"] == "margin"
    P = zero_shot(nothing, Recipe(teacher="prototypes"), named.rows)
    assert P is not None
    np.testing.assert_allclose(named.confidences, P.max(axis=1))
    # What nobody asked for is not suggested.
    quiet = run(nothing, strategy="margin")
    assert set(quiet.labels.tolist()) == {-1}
    assert quiet.metrics["zero_shot"] is False
    assert quiet.metrics["ranking"]["ranked_by"] == "random"


def test_words_say_what_teaches() -> None:
    shares = ({"name": "logistic", "weight": 0.25}, {"name": "prototypes", "weight": 0.75})
    stacked = {"teacher_kind": STACKED, "teacher_members": shares}
    assert teacher_in_words(stacked) == "an average of 25% the head and 75% the names of the classes"
    assert teacher_in_words({}) == "the head"
    assert teacher_in_words({"teacher_kind": "sklearn:forest"}) == "sklearn:forest"
    ranking = {"ranked_by": "random", "why": None}
    old = {"ranking": ranking, "teacher_view": "raw", "view_why": "x"}
    assert "The student learns from" not in explained(old)
