"""What may be asked for when an encoder is fine-tuned."""

from __future__ import annotations

import importlib.util

import pytest

from models.errors import BadInput, MissingExtra
from models.finetune import recipe as module
from models.finetune.recipe import FinetuneRecipe, chosen_precision, require_extra


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"method": "qlora"}, "method must be one of full, lora, bias, last, not 'qlora'."),
        ({"schedule": "step"}, "schedule must be one of linear, cosine, constant, not 'step'."),
        ({"epochs": 0}, "epochs must be at least 1, not 0."),
        ({"warmup": 1.0}, "warmup must lie in 0 … 1, without 1, not 1.0."),
        ({"learning_rate": 0.0}, "Learning rates must be above 0, and weight_decay must not be below."),
    ],
)
def test_a_value_out_of_its_range_is_named(changed, says):
    with pytest.raises(BadInput) as raised:
        FinetuneRecipe(**changed)
    assert str(raised.value) == says


def test_each_method_has_a_rate_of_its_own_which_the_digest_spells_out():
    rates = {method: FinetuneRecipe(method=method).rate for method in module.METHODS}
    assert rates == {"full": 5e-5, "lora": 3e-4, "bias": 5e-4, "last": 5e-5}
    assert FinetuneRecipe().digest() == FinetuneRecipe(learning_rate=5e-5).digest()
    assert FinetuneRecipe().digest() != FinetuneRecipe(epochs=7).digest()
    assert FinetuneRecipe(**FinetuneRecipe(method="lora").to_dict()).rate == 3e-4


@pytest.mark.parametrize(("method", "absent"), [("full", "accelerate"), ("lora", "peft")])
def test_what_is_not_installed_is_asked_for_by_its_extra(method, absent, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else object())
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[peft\]"'):
        require_extra(method)


def test_only_lora_needs_peft_itself(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else object())
    for method in ("full", "bias", "last"):
        require_extra(method)


@pytest.mark.parametrize(("able", "precision"), [(True, "bf16"), (False, "fp32")])
def test_bf16_is_taken_where_the_processor_has_instructions_for_it(able, precision, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert chosen_precision("auto") == precision
    assert chosen_precision("fp32") == "fp32"
