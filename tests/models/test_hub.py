"""What is looked at before a registered model is loaded."""

from __future__ import annotations

import json
import socket
import struct

import pytest

from models.errors import UnusableModel
from models.hub import HubModel, check_folder, find_folder, fingerprint

CONFIG = {"model_type": "bert", "hidden_size": 16}


@pytest.fixture
def folder(tmp_path):
    """A folder with the files of a model of texts, none of which is ever parsed here but the JSON."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "tokenizer.json").write_text("{}")
    (made / "tokenizer_config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return made


def refused(folder, task="text"):
    with pytest.raises(UnusableModel) as raised:
        check_folder("hf:tiny", folder, task)
    assert str(raised.value) == f"The encoder 'hf:tiny' cannot be used: {raised.value.why}"
    return raised.value.why


def test_a_whole_folder_may_be_used(folder):
    check_folder("hf:tiny", folder, "text")
    assert find_folder("hf:tiny", HubModel(str(folder))) == folder


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "tf_model.h5", "flax_model.msgpack"])
def test_pickled_weights_are_refused_by_their_name_and_not_opened(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / name).mkdir()  # reading it would be another error
    why = refused(folder)
    assert name in why
    assert "save_pretrained" in why


def test_weights_that_are_not_there_are_said(folder):
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors" in refused(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part-1.safetensors"}}))
    assert "part-1.safetensors is missing" in refused(folder)
    (folder / "part-1.safetensors").write_bytes(b"")
    check_folder("hf:tiny", folder, "text")


@pytest.mark.parametrize("part", ["../secret.safetensors", "/etc/passwd", "pytorch_model.bin", "deep/a.safetensors"])
def test_an_index_stays_in_its_folder_and_with_safetensors(folder, part):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": part}}))
    assert "names what is no safetensors file beside it" in refused(folder)


def test_weights_that_the_configuration_names_are_refused(folder):
    (folder / "other.safetensors").write_bytes(b"another model")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"transformers_weights": "other.safetensors"}))
    assert "config.json names other weights (transformers_weights)" in refused(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG | {"transformers_weights": None}))
    check_folder("hf:tiny", folder, "text")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_refused(folder, file):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | {"auto_map": {"AutoModel": "evil.Evil"}}))
    assert "code that comes with the model, which is never run" in refused(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "cannot be read"), ("[]", "no JSON object"), ("[" * 100_000, "cannot be read"), (None, "has no config.json")],
)
def test_a_broken_configuration_is_said(folder, content, says):
    if content is None:
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text(content)
    assert says in refused(folder)


def test_a_model_must_read_what_the_items_are(folder):
    assert "it is a model of texts, but the items are images" in refused(folder, "image")
    (folder / "tokenizer.json").rename(folder / "preprocessor_config.json")
    check_folder("hf:tiny", folder, "image")
    assert "it is a model of images, but the items are texts" in refused(folder)
    (folder / "preprocessor_config.json").unlink()
    assert "it has no tokenizer" in refused(folder)
    assert "it has no preprocessor_config.json" in refused(folder, "image")
    (folder / "config.json").write_text(json.dumps({"text_config": {}, "vision_config": {}}))
    assert "texts and images together" in refused(folder)
    (folder / "adapter_config.json").write_text("{}")
    assert "it is an adapter" in refused(folder)


@pytest.mark.parametrize("source", ["/nowhere/at/all", "~/nowhere-at-all", "./nowhere", "a/b/c"])
def test_a_folder_that_is_not_there_is_said(source):
    with pytest.raises(UnusableModel, match=f"there is no folder {source}"):
        find_folder("hf:tiny", HubModel(source))


def test_the_network_is_not_asked_unless_that_is_allowed(monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(UnusableModel, match=r"nor in the hub's cache of this machine\. Put a copy there"):
        find_folder("hf:tiny", HubModel("winnow-tests/there-is-no-such-model"))
    with pytest.raises(UnusableModel, match="neither a folder here nor an id of the hub"):
        find_folder("hf:tiny", HubModel("no such--thing"))


def test_the_fingerprint_follows_every_file_that_matters_and_no_other(folder, tmp_path):
    first = fingerprint("hf:tiny", folder, tmp_path)
    (folder / "README.md").write_text("a card")
    assert fingerprint("hf:tiny", folder, tmp_path) == first
    seen = {first}
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (folder / file).write_bytes((folder / file).read_bytes() + b" ")
        seen.add(fingerprint("hf:tiny", folder, tmp_path))
    assert len(seen) == 5
    assert fingerprint("hf:tiny", folder, tmp_path / "another") in seen


def test_weights_are_read_again_only_when_they_have_changed(folder, tmp_path, monkeypatch):
    first = fingerprint("hf:tiny", folder, tmp_path)

    def refuse(*_arguments):
        raise AssertionError("it was read again")

    with monkeypatch.context() as patched:
        patched.setattr("hashlib.file_digest", refuse)
        assert fingerprint("hf:tiny", folder, tmp_path) == first
        (folder / "model.safetensors").write_bytes(b"another")
        with pytest.raises(AssertionError, match="read again"):
            fingerprint("hf:tiny", folder, tmp_path)
    [receipt] = tmp_path.glob("hub-*.json")
    receipt.write_text("not json")
    assert fingerprint("hf:tiny", folder, tmp_path) != first
