"""The language model's part of a round, whoever it is that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from models.llm.answers import Answers
from sampler.reasons import percent
from worker.llm.asking import Asked, Known, RowQuestion
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import Arrays, RoundData, RoundResult

N, D, K, POOL = 1_800, 64, 3, 1_000
NAMES = ("a", "b", "c")


def made() -> tuple[np.ndarray, np.ndarray]:
    """Rows of three clouds in many dimensions, of unit length, and their classes: many labels are better than few."""
    rng = np.random.default_rng(0)
    truth = rng.integers(K, size=N)
    X = rng.normal(size=(N, D)) + 3.0 * np.eye(K, D)[truth]
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), truth


X, TRUTH = made()


class MadePanel:
    """Answers from what is true: right on all but each ``wrong``-th row, and fits no class on each ``unfit``-th."""

    name, model = "llm:made", "made-1"

    def __init__(
        self, items: int = 300, *, wrong: int = 0, unfit: int = 0, budget: int = 10**6, doubted: float = 0.0
    ) -> None:
        self.items_per_round = items
        self.examples = 4
        self.doubted = doubted
        self.questions: list[RowQuestion] = []
        self.budget = budget
        self._wrong = wrong
        self._unfit = unfit
        self._said: dict[int, Any] = {}
        self._shown: dict[int, list[int]] = {}

    def known(self) -> Known:
        fits = {row: said for row, said in self._said.items() if said is not None}
        unfit = [row for row in self._said if self._said[row] is None]
        return Known(Answers.of(fits, self._shown, K), np.array(unfit, np.int64))

    def ask(self, questions: Sequence[RowQuestion], progress: Callable[[float, str], None]) -> Asked:
        stopped = None
        for question in questions:
            if len(self.questions) >= self.budget:
                stopped = "the budget of 9 USD is spent"
                break
            if question.row in self._said:
                continue
            progress(0.5, "asking")
            self.questions.append(question)
            label = TRUTH[question.row]
            if self._wrong and question.row % self._wrong == 0:
                label = (label + 1) % K
            said = np.where(np.arange(K) == label, 0.9, 0.05)
            self._said[question.row] = None if self._unfit and question.row % self._unfit == 0 else said
            self._shown[question.row] = [shown.row for shown in question.examples]
        usage = {"calls": len(self.questions), "tokens_in": 10, "tokens_out": 1, "cost": 0.25, "currency": "USD"}
        return Asked(stopped, 0, usage, usage)


def data(panel: MadePanel | None, n_labels: int = 60, explored: int = 40) -> RoundData:
    rows = np.arange(N)
    return RoundData(
        task="text",
        class_names=NAMES,
        features=X,
        raw=lambda wanted: [f"text {row}" for row in wanted],
        labeled_rows=rows[:n_labels],
        y=TRUTH[:n_labels],
        exploration=rows[:n_labels] < explored,
        candidate_rows=rows[n_labels:POOL],
        holdout_rows=rows[POOL:],
        holdout_y=TRUTH[POOL:],
        panel=panel,
    )


RECIPE = Recipe(strategy="margin", teacher="llm:made", student="none")


def run(panel: MadePanel | None, checkpoints: Any = None, **more: Any) -> RoundResult:
    return run_round(data(panel, **more), RECIPE, None, np.random.default_rng(5), checkpoints)


class Kept:
    """Checkpoints in memory, from which a later attempt goes on. Dies at the progress that is told."""

    def __init__(self) -> None:
        self.steps: dict[str, Arrays] = {}
        self.lives = 10**9

    def load(self, step: str) -> Arrays | None:
        return self.steps.get(step)

    def save(self, step: str, arrays: Arrays) -> None:
        self.steps[step] = dict(arrays)

    def progress(self, fraction: float, message: str) -> None:
        self.lives -= message == "asking"
        if self.lives < 0:
            raise KeyboardInterrupt


def test_good_answers_get_a_share_that_measured_labels_bear_out() -> None:
    result = run(MadePanel())
    llm = result.metrics["llm"]
    assert (llm["questions"], llm["answers"], llm["unfit"], llm["stopped"]) == (300, 300, 0, None)
    assert llm["share"] > 0
    assert llm["losses"]["together"] < llm["losses"]["head"]
    assert llm["teacher"]["log_loss"] < result.metrics["teacher"]["log_loss"]
    assert llm["accuracy"]["on"] == "exploration"
    assert (llm["accuracy"]["value"], llm["accuracy"]["labels"]) == (1.0, 40)
    low, share, losses = percent(llm["accuracy"]["low"]), percent(llm["share"]), llm["losses"]
    assert result.metrics["explanation"].endswith(
        f"It says what people say on 100 % of 40 labelled items (95 % interval {low} to 100 %). What is learned from "
        f"its answers makes up {share} of the teacher: cross-validated log-loss is {losses['together']:.3f} so and "
        f"{losses['head']:.3f} without."
    )
    said = "llm:made (made-1) was asked about 300 items in this round: 300 calls, 0.25 USD; 0.25 USD so far."
    assert said in result.metrics["explanation"]
    assert result.timings["llm"] > 0


def test_bad_answers_get_none_and_the_round_says_so() -> None:
    result = run(MadePanel(wrong=1))
    llm = result.metrics["llm"]
    assert (llm["share"], llm["teacher"], llm["accuracy"]["value"]) == (0.0, None, 0.0)
    assert "The teacher is the head alone" in result.metrics["explanation"]


def test_what_ranks_and_what_is_measured_of_the_head_does_not_change_by_a_bit() -> None:
    asked = run(MadePanel())
    alone = run_round(data(None), replace(RECIPE, teacher="logistic"), None, np.random.default_rng(5))
    assert_array_equal(asked.rows, alone.rows)
    assert_array_equal(asked.scores, alone.scores)
    assert asked.metrics["teacher"] == alone.metrics["teacher"]
    assert "llm" not in alone.metrics


def test_half_is_asked_of_uniformly_drawn_labels_and_the_rest_of_what_the_head_doubts() -> None:
    panel = MadePanel(30, doubted=1.0)
    result = run(panel)
    rows = [question.row for question in panel.questions]
    assert all(row < 40 for row in rows[:15])
    assert all(60 <= row < POOL for row in rows[15:])
    assert set(rows[15:]) <= set(result.rows[:15].tolist())  # margin ranks by the same doubt
    assert all(question.text == f"text {question.row}" for question in panel.questions)


def test_held_out_items_are_never_sent() -> None:
    panel = MadePanel(5_000)
    run(panel)
    sent = {row for question in panel.questions for row in (question.row, *(shown.row for shown in question.examples))}
    assert max(sent) < POOL


def test_uniformly_drawn_labels_are_not_shown_while_there_are_others() -> None:
    panel = MadePanel(20)
    run(panel)
    shown = {example.row for question in panel.questions for example in question.examples}
    assert shown
    assert min(shown) >= 40
    assert all(example.label == TRUTH[example.row] for question in panel.questions for example in question.examples)


def test_the_next_round_asks_about_other_items_and_uses_all_answers() -> None:
    panel = MadePanel(20, unfit=7)
    run(panel)
    first = {question.row for question in panel.questions}
    llm = run(panel).metrics["llm"]
    assert len({question.row for question in panel.questions}) == len(panel.questions) == 40
    assert llm["answers"] + llm["unfit"] == 40
    assert llm["unfit"] == sum(question.row % 7 == 0 for question in panel.questions)
    assert first < {question.row for question in panel.questions}


def test_a_spent_budget_is_said_and_the_round_goes_on_with_what_there_is() -> None:
    result = run(MadePanel(budget=0))
    assert result.state == "trained"
    assert result.metrics["llm"]["stopped"] == "the budget of 9 USD is spent"
    assert "It was not asked further: the budget of 9 USD is spent." in result.metrics["explanation"]
    assert "there is too little to compare by" in result.metrics["explanation"]
    alone = run_round(data(None), replace(RECIPE, teacher="logistic"), None, np.random.default_rng(5))
    assert_array_equal(result.rows, alone.rows)


def test_a_language_model_that_is_not_registered_is_said_and_the_round_goes_on() -> None:
    result = run(None)
    assert result.state == "trained"
    said = "llm:made is not registered here: the teacher is the head alone"
    assert result.metrics["llm"] == {"name": "llm:made", "share": 0.0, "stopped": said}
    assert result.metrics["explanation"].endswith(f"{said}.")


@pytest.mark.parametrize("lives", [0, 7])
def test_a_round_that_dies_while_asking_ends_as_one_that_did_not(lives: int) -> None:
    whole = run(MadePanel(30))
    panel, kept = MadePanel(30), Kept()
    kept.lives = lives
    with pytest.raises(KeyboardInterrupt):
        run(panel, kept)
    kept.lives = 10**9
    resumed = run(panel, kept)
    assert len(panel.questions) == 30
    again = run(MadePanel(30, budget=0), kept)  # all that it said is in the checkpoint
    for other in (resumed, again):
        assert_array_equal(other.rows, whole.rows)
        assert _known(other) == _known(whole)


def _known(result: RoundResult) -> Mapping[str, Any]:
    return {
        name: result.metrics["llm"][name] for name in ("answers", "share", "losses", "accuracy", "teacher", "questions")
    }


def test_with_few_labels_any_of_them_are_asked_about_and_the_page_says_on_what_it_was_measured() -> None:
    panel = MadePanel(30)
    llm = run(panel, n_labels=20, explored=2).metrics["llm"]
    assert sum(question.row < 20 for question in panel.questions) == 15
    assert (llm["accuracy"]["on"], llm["accuracy"]["labels"]) == ("labels", 15)
