"""What every encoder must do, whatever its name."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from models import encoders
from models.encoders import (
    encoder_names,
    load_encoder,
    load_encoder_folder,
    make_encoder,
    resolve_auto,
    save_encoder,
)
from models.errors import BadInput, CorruptModel, MissingExtra, NotFitted, UnknownEncoder

WORDS = "river bank loan card water late refund train boat night paper green music light stone cloud"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("encoders")


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS.split(), size=rng.integers(1, 12))) for _ in range(n)]


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [png(rng.integers(0, 256, size=(12, 12))) for _ in range(n)]


def vectors(n, seed=0):
    return list(np.random.default_rng(seed).normal(size=(n, 7)).astype(np.float32))


KINDS = {
    "minilm": ("text", texts),
    "hashed": ("text", texts),
    "patches": ("image", pictures),
    "none": ("features", vectors),
}


@pytest.fixture(params=KINDS)
def kind(request, cache):
    task, items = KINDS[request.param]
    return request.param, task, items, lambda: make_encoder(request.param, task, cache=cache)


def fitted(kind, n=40, seed=0):
    _, _, items, make = kind
    encoder = make()
    encoder.fit(items(n), np.random.default_rng(seed))
    return encoder


def test_rows_are_finite_float32_of_the_width_that_it_says(kind):
    encoder = fitted(kind)
    encoded = encoder.encode(kind[2](23, seed=1))
    assert encoded.features.shape == (23, encoder.dim)
    assert encoded.features.dtype == np.float32
    assert np.isfinite(encoded.features).all()
    assert (encoded.n_cut, encoded.n_failed) == (0, 0)
    assert encoder.name == kind[0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_batches_of_any_size_are_encoded(kind, n):
    encoder = fitted(kind)
    assert encoder.encode(kind[2](n)).features.shape == (n, encoder.dim)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_tiny_pools_are_enough(kind, n):
    encoded = fitted(kind, n).encode(kind[2](5, seed=2))
    assert np.isfinite(encoded.features).all()
    assert encoded.features.any(axis=1).sum() >= (0 if kind[0] == "patches" and n == 1 else 5)


def test_rows_come_in_the_order_of_the_items(kind):
    encoder, items = fitted(kind), kind[2](30, seed=1)
    order = np.random.default_rng(0).permutation(30)
    straight = encoder.encode(items).features
    shuffled = encoder.encode([items[i] for i in order]).features
    # INT8 activations are scaled batch by batch, which moves minilm's rows a little.
    assert shuffled == pytest.approx(straight[order], abs=2e-2 if kind[0] == "minilm" else 1e-5)


@pytest.mark.parametrize("kind", ["hashed", "patches"], indirect=True)
def test_many_items_are_read_block_by_block_with_the_same_result(kind, monkeypatch):
    encoder, items = fitted(kind), kind[2](30, seed=1)
    whole = encoder.encode(items).features
    monkeypatch.setattr("models.encoder_hashed._CHUNK", 7)
    monkeypatch.setattr("models.encoder_patches._CHUNK_BYTES", 1 << 19)
    assert encoder.encode(items).features == pytest.approx(whole, abs=1e-5)


def test_the_same_sample_and_seed_give_the_same_encoder(kind):
    first, second = fitted(kind), fitted(kind)
    items = kind[2](10, seed=3)
    assert first.digest == second.digest
    assert np.array_equal(first.encode(items).features, second.encode(items).features)


def test_state_and_details_bring_back_the_same_output(kind, cache):
    encoder, items = fitted(kind), kind[2](10, seed=3)
    details = json.loads(json.dumps(encoder.details()))
    again = load_encoder(encoder.name, encoder.state(), details, cache)
    assert not again.needs_fit
    assert (again.digest, again.dim, again.dtype) == (encoder.digest, encoder.dim, encoder.dtype)
    assert np.array_equal(again.encode(items).features, encoder.encode(items).features)


def test_a_folder_brings_back_the_same_output_and_says_what_it_is(kind, cache, tmp_path):
    encoder, items = fitted(kind), kind[2](10, seed=3)
    save_encoder(encoder, tmp_path / "encoder")
    written = json.loads((tmp_path / "encoder" / "encoder.json").read_text())
    assert (written["name"], written["version"], written["digest"]) == (kind[0], encoder.version, encoder.digest)
    again = load_encoder_folder(tmp_path / "encoder", cache)
    assert np.array_equal(again.encode(items).features, encoder.encode(items).features)


def test_what_is_no_item_of_its_kind_gives_a_zero_row_and_is_counted(kind):
    encoder = fitted(kind)
    good = kind[2](2, seed=4)
    odd = [b"\x89PNG no image", None, good[0], np.array([np.nan] * 7), 12, good[1]]
    encoded = encoder.encode(odd)
    assert encoded.n_failed == 4
    assert not encoded.features[[0, 1, 3, 4]].any()
    assert encoded.features[[2, 5]].any(axis=1).all()


@pytest.mark.parametrize("kind", ["hashed", "patches"], indirect=True)
def test_nothing_is_encoded_before_it_is_fitted(kind):
    encoder = kind[3]()
    assert encoder.needs_fit
    for call in (lambda: encoder.encode(kind[2](1)), lambda: encoder.digest):
        with pytest.raises(NotFitted, match="fit"):
            call()
    with pytest.raises(BadInput):
        encoder.fit([], np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["hashed", "patches"], indirect=True)
def test_another_pool_gives_another_digest(kind):
    encoder = fitted(kind, seed=0)
    before = encoder.digest
    encoder.fit(kind[2](40, seed=9), np.random.default_rng(1))
    assert encoder.digest != before


@pytest.mark.parametrize("kind", ["hashed", "patches"], indirect=True)
def test_a_folder_that_was_tampered_with_is_refused(kind, cache, tmp_path):
    from safetensors.numpy import load_file, save_file

    save_encoder(fitted(kind), tmp_path)
    arrays = load_file(tmp_path / "state.safetensors")
    name = sorted(arrays)[0]
    arrays[name] = arrays[name] + arrays[name].dtype.type(1)
    save_file(arrays, tmp_path / "state.safetensors")
    with pytest.raises(CorruptModel, match="digest"):
        load_encoder_folder(tmp_path, cache)
    (tmp_path / "state.safetensors").write_bytes(b"{}")
    with pytest.raises(CorruptModel):
        load_encoder_folder(tmp_path, cache)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(CorruptModel):
        load_encoder_folder(tmp_path, cache)


@pytest.mark.parametrize("name", ["hashed", "patches"])
def test_state_with_an_array_missing_is_refused(name, cache):
    with pytest.raises(CorruptModel):
        load_encoder(name, {"mean": np.zeros(3)}, {"side": 8, "channels": 1}, cache)


def test_auto_takes_the_best_that_is_installed(monkeypatch):
    assert [resolve_auto("auto", task) for task in ("text", "image", "features")] == ["minilm", "patches", "none"]
    monkeypatch.setattr(encoders, "_MINILM_PACKAGE", "a_package_that_is_not_there")
    assert resolve_auto("auto", "text") == "hashed"
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[minilm\]"'):
        resolve_auto("minilm", "text")


@pytest.mark.parametrize(
    ("name", "task"), [("patches", "text"), ("minilm", "image"), ("os.system", "text"), ("auto", "sound")]
)
def test_an_encoder_that_there_is_not_is_refused_by_name(name, task, cache):
    with pytest.raises(UnknownEncoder, match=name):
        make_encoder(name, task, cache=cache)


def test_names_are_listed_by_task():
    assert encoder_names("text") == ("minilm", "hashed")
    assert set(encoder_names()) == set(KINDS)


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"torch", "sklearn", "scipy", "transformers", "onnxruntime", "onnx", "PIL", "tokenizers", "pandas"}
    code = (
        "import sys, models, models.encoders, models.teachers, models.evaluate, models.calibrate, models.errors, "
        "models.encoder_minilm, models.encoder_hashed, models.encoder_patches, models.encoder_none, models.images; "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
