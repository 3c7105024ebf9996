"""Encoders over tiny random models of transformers."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from models.encoders import load_encoder, load_encoder_folder, make_encoder, resolve_auto, save_encoder
from models.errors import CorruptModel, UnknownEncoder, UnusableModel
from models.hub import HubModel
from tests.models.tiny_hub_models import TOKENS, tiny_bert, tiny_resnet, tiny_vit


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders with tiny models, by name. They are read only."""
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny_bert(root / "bert"),
        "other": tiny_bert(root / "other", seed=1),
        "vit": tiny_vit(root / "vit"),
        "plain": tiny_vit(root / "plain", pooling=False),
        "resnet": tiny_resnet(root / "resnet"),
    }


@pytest.fixture
def encoder(saved, tmp_path):
    def made(name="bert", task=None, **options):
        task = task or ("text" if name in ("bert", "other") else "image")
        hub = {"hf:tiny": HubModel(str(saved[name]), **options)}
        return make_encoder("hf:tiny", task, cache=tmp_path / "cache", hub=hub)

    return made


def hidden_states(folder, text):
    """What the network gives for one text, by hand: (tokens, 16)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0].numpy()


def unit(row):
    return row / np.linalg.norm(row)


def png(width, height, shade=0):
    out = io.BytesIO()
    pixels = np.random.default_rng(shade).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_texts_are_the_mean_over_their_own_tokens_whatever_they_are_batched_with(saved, encoder):
    texts = ["river bank", "loan card water late refund train", "", "night"]
    encoded = encoder().encode(texts)
    assert encoded.features.dtype == np.float32
    assert (encoded.n_cut, encoded.n_failed) == (0, 0)
    by_hand = np.stack([unit(hidden_states(saved["bert"], text).mean(axis=0)) for text in texts])
    np.testing.assert_allclose(encoded.features, by_hand, atol=1e-5)
    by_class_token = encoder(pooling="cls").encode(texts).features
    np.testing.assert_allclose(by_class_token[1], unit(hidden_states(saved["bert"], texts[1])[0]), atol=1e-5)


def test_a_prefix_stands_before_every_text(encoder):
    with_prefix = encoder(prefix="river ").encode(["bank"]).features
    np.testing.assert_allclose(with_prefix, encoder().encode(["river bank"]).features, atol=1e-6)


def test_long_texts_are_cut_at_the_limit_and_counted(encoder):
    long, cut = "loan " * 100, "loan " * (TOKENS - 2)
    found = encoder().encode([long, "bank", cut])
    assert found.n_cut == 1
    np.testing.assert_allclose(found.features[0], found.features[2], atol=1e-5)
    found = encoder(max_tokens=8).encode([long, "loan " * 6, "loan " * 7])
    assert found.n_cut == 2
    np.testing.assert_allclose(found.features[0], found.features[1], atol=1e-5)


def test_what_is_no_text_or_no_image_is_zero_and_counted(encoder):
    found = encoder().encode(["bank", b"bank", "a\ud800b"])
    assert (found.n_failed, found.features[1].any(), found.features[2].any()) == (1, False, True)
    found = encoder("vit").encode([png(20, 30), b"no image", "text"])
    assert (found.n_failed, found.features[0].any(), found.features[1:].any()) == (2, True, False)
    assert encoder().encode([]).features.shape == (0, 16)
    assert encoder("vit").encode([]).features.shape == (0, 16)


def test_images_of_any_size_are_pooled_as_the_model_does_it(saved, encoder):
    import torch
    from transformers import AutoModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    images = [png(16, 16, 1), png(40, 12, 2), png(3, 3, 3), png(1, 9, 4)]
    pixels = ViTImageProcessorPil(size={"height": 16, "width": 16})(
        images=Image.open(io.BytesIO(images[0])), return_tensors="pt"
    )
    with torch.inference_mode():
        out = AutoModel.from_pretrained(saved["vit"]).eval()(**pixels)
    found = encoder("vit").encode(images)
    assert found.n_failed == 0
    np.testing.assert_allclose(found.features[0], unit(out.pooler_output[0].numpy()), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=1e-5)
    found = encoder("vit", pooling="cls").encode(images[:1]).features[0]
    np.testing.assert_allclose(found, unit(out.last_hidden_state[0, 0].numpy()), atol=1e-5)
    found = encoder("vit", pooling="mean").encode(images[:1]).features[0]
    np.testing.assert_allclose(found, unit(out.last_hidden_state[0, 1:].mean(dim=0).numpy()), atol=1e-5)


def test_weights_of_a_pooling_that_the_file_lacks_are_never_made_up(encoder):
    image = [png(16, 16)]
    plain = encoder("plain").encode(image).features  # without them, transformers draws them at random
    np.testing.assert_array_equal(plain, encoder("plain").encode(image).features)
    np.testing.assert_array_equal(plain, encoder("plain", pooling="cls").encode(image).features)
    with pytest.raises(UnusableModel, match="no pooling of its own"):
        encoder("plain", pooling="pooled").encode(image)


def test_a_convolutional_network_will_do_as_well(encoder):
    made = encoder("resnet")
    found = made.encode([png(20, 20), png(20, 40), png(20, 20, 1)])
    assert (made.dim, found.features.shape, found.n_failed) == (12, (3, 12), 0)
    np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=1e-5)


def test_the_digest_follows_the_weights_and_the_options(encoder):
    digests = [
        made.digest
        for made in (
            encoder(),
            encoder("other"),
            encoder(pooling="cls"),
            encoder(max_tokens=9),
            encoder(prefix="query: "),
        )
    ]
    assert len(set(digests)) == 5
    assert encoder().digest == digests[0]


def test_a_saved_encoder_comes_back_and_only_as_what_it_was(saved, encoder, tmp_path):
    made = encoder(prefix="a ")
    save_encoder(made, tmp_path / "saved")
    assert not (tmp_path / "saved" / "state.safetensors").exists()
    hub = {"hf:tiny": HubModel(str(saved["bert"]), prefix="a ")}
    again = load_encoder_folder(tmp_path / "saved", tmp_path, hub=hub)
    assert again.digest == made.digest
    np.testing.assert_array_equal(again.encode(["bank"]).features, made.encode(["bank"]).features)
    for model, what in (
        (HubModel(str(saved["bert"])), "prefix"),
        (HubModel(str(saved["other"]), prefix="a "), "files_sha256"),
    ):
        with pytest.raises(UnusableModel, match=f"its {what} changed since items were encoded"):
            load_encoder_folder(tmp_path / "saved", tmp_path, hub={"hf:tiny": model})
    with pytest.raises(UnusableModel, match="not registered any more"):
        load_encoder_folder(tmp_path / "saved", tmp_path)
    (tmp_path / "saved" / "encoder.json").write_text("{}")
    with pytest.raises(CorruptModel):
        load_encoder_folder(tmp_path / "saved", tmp_path, hub=hub)


def test_only_what_is_registered_may_be_named(saved, encoder, tmp_path):
    hub = {"hf:tiny": HubModel(str(saved["bert"]))}
    assert resolve_auto("hf:tiny", "text", hub) == "hf:tiny"
    assert resolve_auto("auto", "text", hub) in ("minilm", "hashed")
    with pytest.raises(UnknownEncoder, match="hf:tiny"):
        resolve_auto("hf:other", "text", hub)
    with pytest.raises(UnknownEncoder):
        make_encoder(f"hf:{saved['bert']}", "text", cache=tmp_path, hub=hub)
    with pytest.raises(UnknownEncoder):
        make_encoder("hf:tiny", "features", cache=tmp_path, hub=hub)
    with pytest.raises(UnusableModel, match="the items are images"):
        encoder("bert", "image")
    with pytest.raises(UnusableModel):
        load_encoder("hf:tiny", {}, {"task": "features"}, tmp_path)


def test_a_file_that_lacks_weights_of_the_network_is_refused(saved, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved["bert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["embeddings.word_embeddings.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    made = make_encoder("hf:tiny", "text", cache=tmp_path, hub={"hf:tiny": HubModel(str(folder))})
    with pytest.raises(UnusableModel, match=r"lacks 1 weights of the network, embeddings\.word"):
        made.encode(["bank"])
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    made = make_encoder("hf:tiny", "text", cache=tmp_path, hub={"hf:tiny": HubModel(str(folder))})
    with pytest.raises(UnusableModel, match="transformers cannot load it"):
        made.encode(["bank"])


def test_a_kind_of_model_that_transformers_does_not_know_is_refused(saved, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved["bert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "made-up", "architectures": ["MadeUp"]}))
    made = make_encoder("hf:tiny", "text", cache=tmp_path, hub={"hf:tiny": HubModel(str(folder))})
    with pytest.raises(UnusableModel, match=r"transformers cannot load it: .*made-up"):
        made.encode(["bank"])


def test_rows_that_are_no_numbers_are_zero(saved, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in saved["bert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][4] = np.nan  # the word "river"
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    made = make_encoder("hf:tiny", "text", cache=tmp_path, hub={"hf:tiny": HubModel(str(folder))})
    found = made.encode(["bank", "river"])
    assert (found.n_failed, found.features[0].any(), found.features[1].any()) == (1, True, False)
    assert np.isfinite(found.features).all()
