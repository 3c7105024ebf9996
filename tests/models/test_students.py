"""Each family of students by itself: shapes, saving, and what it decides from its pool."""

import io

import numpy as np
import pytest
from PIL import Image

from models.artifacts import load_arrays, load_student, save_student
from models.errors import BadInput, CorruptModel, ModelError
from models.students import network_class
from models.students.convnet import ConvNetwork
from models.students.hashed import HashedNetwork
from models.students.mlp import MlpNetwork
from models.students.student import Student
from tests.models.small_students import image_student, images, text_student, texts, vector_student, vectors

STUDENTS = {"text": (text_student, texts), "image": (image_student, images), "features": (vector_student, vectors)}


def generator(seed=0):
    import torch

    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("task", STUDENTS)
def test_probabilities_are_rows_that_sum_to_one(task):
    make, pool = STUDENTS[task]
    items, _ = pool(5)
    P = make().predict_proba(items)
    assert P.shape == (5, len(make().class_names))
    assert P.dtype == np.float32
    assert P.sum(1) == pytest.approx(np.ones(5), abs=1e-5)
    assert make().predict_proba([]).shape == (0, len(make().class_names))


@pytest.mark.parametrize("task", STUDENTS)
def test_a_saved_student_predicts_the_same(task, tmp_path):
    make, pool = STUDENTS[task]
    items, _ = pool(50, seed=4)
    save_student(tmp_path, make(), recipe={"seed": 3})
    loaded = load_student(tmp_path)
    assert loaded.class_names == make().class_names
    assert loaded.task == task
    assert np.array_equal(loaded.predict_proba(items), make().predict_proba(items))
    assert {p.name for p in tmp_path.iterdir()} == {"student.safetensors", "student.json"}


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "no json", "other format", "lost array"])
def test_a_damaged_student_is_refused(damage, tmp_path):
    save_student(tmp_path, vector_student())
    weights, description = tmp_path / "student.safetensors", tmp_path / "student.json"
    data = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(data[:40])
    elif damage == "gone":
        weights.unlink()
    elif damage == "no json":
        description.write_text("{")
    elif damage == "other format":
        description.write_text('{"format": 99}')
    else:
        description.write_text(description.read_text().replace('"mlp"', '"hashed"'))
    with pytest.raises(CorruptModel):
        load_student(tmp_path)


def test_the_arrays_of_a_saved_student_are_what_a_warm_start_takes(tmp_path):
    save_student(tmp_path, vector_student())
    arrays = load_arrays(tmp_path)
    assert all(np.array_equal(arrays[name], array) for name, array in vector_student().arrays().items())


def test_an_unknown_family_is_named():
    with pytest.raises(ModelError, match="'forest'"):
        network_class("forest")


def test_class_names_must_be_as_many_as_outputs():
    with pytest.raises(BadInput, match="1 class names for 2 outputs"):
        Student(text_student().network, ("only",))


@pytest.mark.parametrize(("n_classes", "rows", "dim"), [(2, 65_536, 16), (20, 65_536, 20), (77, 32_768, 48)])
def test_a_hashed_table_stays_small_whatever_the_classes(n_classes, rows, dim):
    network = HashedNetwork.create(["a"], n_classes, generator())
    assert network.arrays()["table"].shape == (rows, dim)
    assert rows * dim <= 1.6e6


@pytest.mark.parametrize("text", ["", "   ", "…"])
def test_a_text_without_a_word_gets_the_bias_alone(text):
    student = text_student()
    bias = student.network.arrays()["head.bias"] * student.network.scale
    expected = np.exp(bias) / np.exp(bias).sum()
    assert student.predict_proba([text])[0] == pytest.approx(expected, abs=1e-6)


def test_words_that_were_never_seen_say_nothing():
    student = text_student()
    assert student.predict_proba(["qwxz"])[0] == pytest.approx(student.predict_proba([""])[0], abs=1e-6)


@pytest.mark.parametrize(("size", "colour", "blocks"), [(8, False, 2), (12, True, 2), (28, False, 3), (48, True, 4)])
def test_a_convolutional_net_takes_its_shape_from_the_pool(size, colour, blocks):
    items, _ = images(20, size=size, colour=colour)
    network = ConvNetwork.create(items, 3, generator())
    assert (network.mode, network.size) == ("RGB" if colour else "L", (size, size))
    assert len(network.blocks) == blocks
    assert sum(a.size for a in network.arrays().values()) < 40_000


def png(width, height, mode="L", value=128):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), value).save(buffer, "PNG")
    return buffer.getvalue()


def test_large_images_are_shrunk_with_their_proportions_and_tiny_ones_enlarged():
    assert ConvNetwork.create([png(400, 200)], 2, generator()).size == (24, 48)
    assert ConvNetwork.create([png(3, 3)], 2, generator()).size == (8, 8)


def test_grey_pixels_in_colour_files_are_grey_and_one_colour_is_enough_for_colour():
    grey = [png(8, 8, "RGB", (9, 9, 9))] * 3
    assert ConvNetwork.create(grey, 2, generator()).mode == "L"
    assert ConvNetwork.create([*grey, png(8, 8, "RGB", (200, 9, 9))], 2, generator()).mode == "RGB"


def test_a_blank_pool_does_not_divide_by_zero():
    network = ConvNetwork.create([png(8, 8)] * 4, 2, generator())
    assert np.isfinite(network.prepare([png(8, 8), png(8, 8, value=0)]).X).all()


def test_shifted_images_keep_their_place_in_the_batch():
    items, _ = images(40)
    network = ConvNetwork.create(items, 3, generator())
    inputs = network.prepare(items)
    rows = np.array([3, 7, 11])
    (plain,), (shifted,) = inputs.batch(rows), inputs.batch(rows, np.random.default_rng(0))
    assert np.array_equal(plain.numpy(), inputs.X[rows])
    assert shifted.shape == plain.shape
    for before, after in zip(plain.numpy(), shifted.numpy(), strict=True):
        moved = [np.roll(before, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        assert any(np.array_equal(m[:, 1:-1, 1:-1], after[:, 1:-1, 1:-1]) for m in moved)


@pytest.mark.parametrize("bad", [b"not an image", b"", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(bad):
    items, _ = images(4)
    with pytest.raises(BadInput, match="Item 2"):
        image_student().predict_proba([*items[:2], bad])


def test_text_is_no_image_and_an_image_no_text():
    with pytest.raises(BadInput, match="no encoded image but str"):
        image_student().predict_proba(["x"])
    with pytest.raises(BadInput, match="no text but bytes"):
        text_student().predict_proba([b"x"])


def test_features_are_standardised_and_a_constant_one_is_harmless():
    items, _ = vectors(200)
    network = MlpNetwork.create(items, 3, generator())
    X = network.prepare(items).X
    assert X.mean(0) == pytest.approx(np.zeros(4), abs=1e-2)
    assert X.std(0)[[0, 1, 3]] == pytest.approx(np.ones(3), abs=1e-2)
    assert X[:, 2] == pytest.approx(np.zeros(200))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([[1.0, 2.0]], "2 features"),
        ([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, float("nan"), 4.0]], "Item 1 has NaN"),
        ([[1.0], [1.0, 2.0]], "all of one length"),
        (["a"], "numbers"),
    ],
)
def test_bad_features_are_refused(items, message):
    with pytest.raises(BadInput, match=message):
        vector_student().predict_proba(items)
