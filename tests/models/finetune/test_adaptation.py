"""Encoders that go on learning from texts without labels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import BadInput
from models.finetune.adaptation import AdaptationRecipe, AdaptedEncoder, _without, contrast
from models.finetune.base import BaseNetwork
from tests.models.finetune.tiny import texts_of, tiny_base

TEXTS, _ = texts_of(64)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_base(tmp_path_factory.mktemp("tiny"))


def test_the_contrast_of_two_rows_can_be_worked_out_by_hand():
    rows = torch.eye(2)
    assert float(contrast(rows, rows, 1.0)) == pytest.approx(math.log(1 + math.exp(-1)))
    assert float(contrast(rows, rows.flip(0), 1.0)) == pytest.approx(math.log(1 + math.exp(1)))


def test_readings_of_a_text_come_nearer_and_what_others_loaded_stays(base):
    recipe = AdaptationRecipe(steps=25, batch_size=16, learning_rate=1e-3, deletion=0.3)
    before = AdaptedEncoder(BaseNetwork(base, max_tokens=64, threads=1), recipe).encode(TEXTS)
    words = []
    keeper = type("Keeper", (), {"tell": lambda self, *said: words.append(said)})()
    adapted = AdaptedEncoder.fit(base, TEXTS, recipe, np.random.default_rng(0), keeper=keeper, threads=1)
    assert np.mean(adapted.losses[-5:]) < np.mean(adapted.losses[:5])
    rows = adapted.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.abs(rows - before).max() > 0.01
    assert len(words) == 25
    assert words[-1] == (1.0, "adapting the encoder, step 25 of 25")
    first = AdaptedEncoder.fit(base, TEXTS, replace(recipe, steps=1), np.random.default_rng(0), threads=1)
    assert first.losses == adapted.losses[:1]


def test_words_are_left_out_but_not_the_ends_and_not_all():
    row = [2, 10, 11, 12, 3]
    assert _without(row, np.array([True, True, False, False, True])) == [2, 11, 12, 3]
    assert _without(row, np.array([True, True, True, False, True])) == row


def test_what_cannot_be_used_is_said(base):
    with pytest.raises(BadInput, match="There are 5 texts for batches of 32"):
        AdaptedEncoder.fit(base, TEXTS[:5], AdaptationRecipe(), np.random.default_rng(0))
    with pytest.raises(BadInput, match="two texts a batch"):
        AdaptationRecipe(batch_size=1)
    with pytest.raises(BadInput, match="deletion in 0 … 1"):
        AdaptationRecipe(deletion=1.0)
