"""The fine-tuned encoder as a member of a teacher."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import NotFitted
from models.finetune.member import FinetunedMember, LabelledTexts
from models.finetune.model import FinetunedModel
from models.finetune.recipe import FinetuneRecipe

ROWS = np.array([3, 5, 8, 13, 21, 34])
Y = np.array([0, 1, 0, 1, 0, 1])


class Counts:
    """Stands for a model: says how many texts of each class it learned from, and remembers what it was asked."""

    asked: list[list[str]] = []  # noqa: RUF012 — emptied by the fixture

    def __init__(self, y, seed):
        self.share, self.seed = np.bincount(y, minlength=2) / len(y), seed

    def predict_proba(self, base, texts, *, tell, threads):
        Counts.asked.append(list(texts))
        tell(1.0)
        return np.tile(self.share.astype(np.float32), (len(texts), 1))


@pytest.fixture
def runs(monkeypatch):
    found = []
    Counts.asked = []

    def fit(base, texts, y, n_classes, exploration, *, recipe, rng, keeper, threads):
        found.append((list(texts), y.tolist(), exploration.tolist(), keeper))
        return Counts(y, int(rng.integers(1 << 30)))

    monkeypatch.setattr(FinetunedModel, "fit", fit)
    return found


def member(**how):
    labelled = LabelledTexts(lambda rows: [f"text {row}" for row in rows], ROWS, Y, ROWS > 10, 2)
    return FinetunedMember(None, labelled, FinetuneRecipe(), np.random.default_rng(0), **how)


def test_each_fold_is_answered_by_a_run_that_did_not_learn_from_it(runs):
    P = member(keeper="of fit alone").cross_fitted(np.array([0, 0, -1, 1, -1, 1]))
    assert [y for _, y, _, _ in runs] == [[0, 1, 0, 1], [0, 1, 0, 0]]
    assert runs[0][0] == ["text 8", "text 13", "text 21", "text 34"]
    assert [keeper for *_, keeper in runs] == [None, None]
    assert runs[1][2] == [False, False, False, True]
    np.testing.assert_array_equal(P[[0, 1]], [[0.5, 0.5]] * 2)
    np.testing.assert_array_equal(P[[3, 5]], [[0.75, 0.25]] * 2)
    assert np.isnan(P[[2, 4]]).all()


def test_a_fold_without_which_one_class_is_left_says_nothing(runs):
    P = member().cross_fitted(np.array([-1, 0, -1, 0, -1, 0]))
    assert np.isnan(P).all()
    assert runs == []


def test_it_learns_from_all_rows_and_is_asked_about_each_once(runs):
    heard = []
    one = member(keeper="kept", tell=heard.append)
    with pytest.raises(NotFitted, match="The fine-tuned encoder is not fitted yet"):
        one.predict_proba(np.array([1]))
    one.fit()
    assert runs == [([f"text {row}" for row in ROWS], Y.tolist(), (ROWS > 10).tolist(), "kept")]
    assert one.predict_proba(np.array([7, 2, 7])).shape == (3, 2)
    one.predict_proba(np.array([2, 9]))
    assert one.predict_proba(np.array([], np.int64)).shape == (0, 2)
    assert Counts.asked == [["text 7", "text 2"], ["text 9"]]
    assert heard == [1.0, 1.0]


def test_what_fit_gives_does_not_hang_on_cross_fitting(runs):
    first, second = member(), member()
    second.cross_fitted(np.array([0, 0, 1, 1, 1, 1]))
    first.fit()
    second.fit()
    assert first.model.seed == second.model.seed


def test_items_that_are_no_texts_are_empty_ones(runs):
    labelled = LabelledTexts(lambda rows: [b"\xff" for _ in rows], ROWS, Y, ROWS > 10, 2)
    FinetunedMember(None, labelled, FinetuneRecipe(), np.random.default_rng(0)).fit()
    assert runs[0][0] == [""] * 6
