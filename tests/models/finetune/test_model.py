"""Encoders that are fine-tuned: what moves, what stays, what comes back from arrays, what resumes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from models.errors import BadInput, CorruptModel
from models.finetune import training
from models.finetune.base import BaseNetwork
from models.finetune.model import FinetunedModel
from models.finetune.network import TextClassifier
from models.finetune.recipe import METHODS, FinetuneRecipe
from models.regularisation import UNSEEN_PROBABILITY
from tests.models.finetune.tiny import texts_of, tiny_base

TEXTS, Y = texts_of(96)
OTHERS, TRUTH = texts_of(60, seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_base(tmp_path_factory.mktemp("tiny"))


def recipe(method="full", **changed):
    return FinetuneRecipe(**{"method": method, "epochs": 2, "last_layers": 1, "learning_rate": 3e-3, **changed})


def fitted(base, how, y=Y, n_classes=2, seed=0, keeper=None):
    rng = np.random.default_rng(seed)
    return FinetunedModel.fit(base, TEXTS, y, n_classes, recipe=how, rng=rng, keeper=keeper, threads=1)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_with_the_weights_that_are_its_own(base, method):
    model = fitted(base, recipe(method))
    P = model.predict_proba(base, OTHERS, threads=1)
    assert (P.argmax(axis=1) == TRUTH).mean() > 0.9
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-6)
    names = {name.removeprefix("encoder.") for name in model.weights if not name.startswith("head.")}
    belongs = {
        "full": lambda name: True,
        "lora": lambda name: ".lora_A." in name or ".lora_B." in name,
        "bias": lambda name: name.endswith(".bias"),
        "last": lambda name: name.startswith("encoder.layer.1."),
    }[method]
    assert names
    assert all(belongs(name) for name in names)
    assert not any("pooler" in name for name in names), "what the mean over tokens does not use is not trained"
    report = model.report
    assert report["trained_weights"] == sum(array.size for array in model.weights.values())
    assert report["trained_weights"] < report["all_weights"] or method == "full"
    assert (report["learned_from"], report["validated_on"]) == (76, 20)
    assert report["flops"] > 0
    assert model.weights["head.weight"].dtype == np.float16


def test_what_is_saved_answers_as_before_bit_for_bit(base):
    model = fitted(base, recipe("lora"))
    again = FinetunedModel.from_arrays(model.arrays())
    P = model.predict_proba(base, OTHERS, threads=1)
    assert np.array_equal(again.predict_proba(base, OTHERS, threads=1), P)
    assert again.fits(base, recipe("lora"), 2)
    assert not again.fits(base, recipe("lora", rank=4), 2)
    assert not again.fits(base, recipe("lora"), 3)
    np.testing.assert_allclose(
        model.predict_proba(base, [TEXTS[place] for place in model.held], threads=1),
        model.held_probabilities,
        atol=1e-5,
    )


def test_the_same_generator_gives_the_same_weights_and_the_process_keeps_its_own(base):
    random.seed(5)
    torch.manual_seed(5)
    before = (random.getstate(), torch.get_rng_state())
    first, second = (fitted(base, recipe("bias"), seed=7) for _ in range(2))
    assert all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    other = fitted(base, recipe("bias"), seed=8)
    assert any(not np.array_equal(first.weights[name], other.weights[name]) for name in first.weights)


class Stopped(Exception):
    """Told to stop."""


class Keeper:
    """Keeps what is saved; stops at its ``last`` word."""

    def __init__(self, last=None, saved=None):
        self.last, self.saved, self.words, self.loads = last, saved, [], 0

    def load(self):
        self.loads += 1
        return self.saved

    def save(self, arrays):
        self.saved = {name: array.copy() for name, array in arrays.items()}

    def tell(self, fraction, message):
        self.words.append((fraction, message))
        if len(self.words) == self.last:
            raise Stopped


@pytest.mark.parametrize(("method", "last"), [("full", 8), ("lora", 11)])  # within the first epoch, and the second
def test_a_run_that_is_stopped_goes_on_as_if_nothing_had_happened(base, method, last):
    # Six steps an epoch; words before them are of the pass for the head.
    whole = Keeper()
    expected = fitted(base, recipe(method, patience=9), keeper=whole)
    stopped = Keeper(last=last)
    with pytest.raises(Stopped):
        fitted(base, recipe(method, patience=9), keeper=stopped)
    assert stopped.saved is not None
    second = Keeper(saved=stopped.saved)
    resumed = fitted(base, recipe(method, patience=9), keeper=second)
    assert second.loads == 1
    assert len(second.words) < len(whole.words) - last + 2
    for name, array in expected.weights.items():
        assert np.array_equal(resumed.weights[name], array), name
    assert resumed.report["validation_losses"] == expected.report["validation_losses"]


def test_an_attempt_after_the_last_step_trains_no_further(base, monkeypatch):
    monkeypatch.setattr(training, "_SAVE_SHARE", 1e9)
    done = Keeper()
    expected = fitted(base, recipe(), keeper=done)
    again = Keeper(saved=done.saved)
    resumed = fitted(base, recipe(), keeper=again)
    assert again.words == []
    assert all(np.array_equal(resumed.weights[name], array) for name, array in expected.weights.items())


def test_it_says_how_far_it_is_and_saves_now_and_then(base, monkeypatch):
    saves = []
    monkeypatch.setattr(training, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training, "_SAVE_SHARE", 1e9)
    keeper = Keeper()
    save = keeper.save
    keeper.save = lambda arrays: (saves.append(len(arrays)), save(arrays))
    fitted(base, recipe("bias"), keeper=keeper)
    fractions = [fraction for fraction, _ in keeper.words]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert keeper.words[0][1] == "reading the labelled texts"
    assert "fine-tuning, epoch 1 of 2" in [message for _, message in keeper.words]
    assert len(saves) == 10, "after each of ten steps, those at the end of an epoch once they are judged"


def test_the_best_weights_are_kept_and_patience_ends_a_run_that_gets_worse(base):
    model = fitted(base, recipe("full", epochs=9, learning_rate=1.0, head_learning_rate=1.0, patience=2))
    losses = model.report["validation_losses"]
    assert model.report["best_epoch"] == int(np.argmin(losses))
    assert len(losses) - 1 == model.report["epochs"] == model.report["best_epoch"] + 2 < 9
    held = model.predict_proba(base, [TEXTS[place] for place in model.held], threads=1)
    from models.finetune.validation import calibrated_loss

    assert calibrated_loss(held, Y[model.held])[0] == pytest.approx(min(losses), abs=2e-3)


def test_gradients_are_added_up_where_the_memory_is_small(tmp_path):
    wide = tiny_base(tmp_path, hidden_size=64, intermediate_size=256)
    report = fitted(wide, recipe("full", memory_mb=3, epochs=1)).report
    assert (report["texts_at_once"], report["memory_mb"], report["checkpointing"]) == (8, 3, False)
    again = fitted(wide, recipe("lora", epochs=1, checkpointing=True)).report
    assert (again["texts_at_once"], again["checkpointing"]) == (16, True)


def test_in_bf16_it_learns_as_well_and_its_weights_stay_whole(base):
    model = fitted(base, recipe("bias", precision="bf16"))
    assert model.report["precision"] == "bf16"
    assert (model.predict_proba(base, OTHERS, threads=1).argmax(axis=1) == TRUTH).mean() > 0.9
    assert not np.array_equal(*(m.weights["head.weight"] for m in (model, fitted(base, recipe("bias")))))


def test_classes_without_labels_stay_at_their_floor(base):
    model = fitted(base, recipe("bias"), y=2 * Y, n_classes=4)
    P = model.predict_proba(base, OTHERS, threads=1)
    assert np.all(P[:, [1, 3]] == np.float32(UNSEEN_PROBABILITY))
    assert model.seen.tolist() == [0, 2]
    assert model.predict_proba(base, [], threads=1).shape == (0, 4)


def test_what_cannot_be_used_is_said(base, tmp_path):
    with pytest.raises(BadInput, match="at least two classes"):
        fitted(base, recipe(), y=0 * Y)
    with pytest.raises(BadInput, match=r"Classes must lie in 0 … 0\."):
        fitted(base, recipe(), n_classes=1)
    with pytest.raises(BadInput, match="last_layers is 3, but hf:tiny has 2 layers"):
        TextClassifier(BaseNetwork(base, max_tokens=8), 2, recipe("last", last_layers=3))
    arrays = fitted(base, recipe("bias")).arrays()
    with pytest.raises(CorruptModel, match="incomplete"):
        FinetunedModel.from_arrays({name: array for name, array in arrays.items() if name != "seen"})
    headless = FinetunedModel.from_arrays({name: a for name, a in arrays.items() if name != "weights.head.bias"})
    with pytest.raises(CorruptModel, match=r"head\.bias is missing"):
        headless.predict_proba(base, OTHERS)
    elsewhere = tiny_base(tmp_path, hidden_size=16)
    with pytest.raises(BadInput, match="from other base weights"):
        FinetunedModel.from_arrays(arrays).predict_proba(elsewhere, OTHERS)
