"""Students of word pieces: what they read whole and what in parts, and that their bundles read the same."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from models.artifacts import load_student, save_student
from models.distill import distil
from models.errors import BadInput, CorruptModel
from models.export import formats
from models.export.bundle import export_bundle, write_serving_folder
from models.export.card import CardFacts
from models.students import make_family
from models.students.pieces import MOST_PIECES, Pieces, PiecesNetwork
from models.students.static import Words
from models.students.student import Student
from predictor import load
from tests.models.small_students import FRUIT, KINDS, TOOLS, soft_labels
from tests.models.test_export_formats import need
from tests.models.test_static import LANGUAGES

ENDS = ("box", "shop", "stand", "maker", "seller", "lover", "holder", "cutter")


def compounds(n, seed=0):
    """Texts whose class only their compounds tell; no compound is there often enough to be read whole."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    made = [
        f"the {rng.choice(TOOLS if label else FRUIT)}{rng.choice(ENDS)}{'abcdefghij'[rng.integers(10)] * 2} of my"
        for label in y
    ]
    return made, y


def student_of(items, n_classes=2):
    network = PiecesNetwork.create(items, n_classes, torch.Generator().manual_seed(0))
    return Student(network, [f"class {i}" for i in range(n_classes)])


def split(pieces, text):
    names = {row: piece for piece, row in json.loads(pieces.tokenizer)["model"]["vocab"].items()}
    return [names[row] for row in pieces.look_up([text])[0].tolist()]


@pytest.fixture(scope="module")
def distilled():
    items, y = compounds(500)
    rng = np.random.default_rng(0)
    features = np.stack([y, 1 - y], 1).astype(np.float32)
    return distil(
        "static-pieces", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=rng, features=features, epochs=3
    )


def test_frequent_words_are_whole_and_rare_ones_their_parts():
    pool = ["Karte sperren"] * 500 + [f"Karten{end}" for end in ("etui", "leser", "schutz", "nummer", "pin", "hülle")]
    pieces = Pieces.of(pool)
    assert split(pieces, "KARTE sperren!") == ["karte", "sperren", "[UNK]"]
    assert split(pieces, "Kartenhülle") == ["karten", "##h", "##ü", "##l", "##l", "##e"]
    assert split(pieces, "Karu\u0308") == ["kar", "##ü"]  # composed or not, it is the same letter
    assert Pieces.of(pool[::-1]) == pieces
    assert split(pieces, "xq") == ["x", "##q"]  # seen or not: one letter that is not known makes a word unknown
    assert split(pieces, "Ω") == ["[UNK]"]


def test_scripts_without_spaces_are_read_sign_by_sign_however_long_a_run_is():
    pieces = Pieces.of(["สวัสดีครับ", "とても高い"] * 300)
    assert split(pieces, "とても高い" * 30) == ["と", "て", "も", "高", "い"] * 30
    assert split(pieces, "สวัส" * 40) == ["ส", "วั", "ส"] * 40


def test_a_compound_that_was_never_seen_says_what_its_parts_say(distilled):
    seen = set(" ".join(compounds(500)[0]).split())
    asked = [f"the {word}{end}zz of my" for word in (*FRUIT, *TOOLS) for end in ENDS]
    assert not seen & {text.split()[1] for text in asked}
    said = distilled.student.predict_proba(asked).argmax(1)
    assert (said == np.repeat([0, 1], len(FRUIT) * len(ENDS))).mean() == 1.0
    assert not Words.of(compounds(500)[0]).look_up([text.split()[1] for text in asked])[0].size  # words say nothing


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_bundle_splits_texts_as_the_student_does(language, tmp_path):
    pool = [text for text in LANGUAGES[language] if "\ud800" not in text]
    student = student_of(pool)
    asked = [*LANGUAGES[language], *(t.upper() for t in pool), *(t.lower() for t in pool), *(t.title() for t in pool)]
    write_serving_folder(student, tmp_path)
    predictor = load(tmp_path)
    own = student.predict_proba(asked)
    assert predictor.predict_proba(asked) == pytest.approx(own, abs=1e-5)
    assert np.concatenate([predictor.predict_proba([text]) for text in asked]) == pytest.approx(own, abs=1e-5)
    assert len(np.unique(own[: len(pool)].round(6), axis=0)) > 1


def test_its_int8_bundle_agrees_and_brings_its_tokenizer(distilled, tmp_path):
    save_student(tmp_path / "student", distilled.student)
    items = compounds(300, seed=3)[0]
    report = export_bundle(
        tmp_path / "student", calibration=items[:100], parity_items=items, card=CardFacts("x"), out=tmp_path / "b.zip"
    )
    assert report.layers == {"table": "int8", "hidden": "int8", "head": "int8"}
    assert report.parity["agreement"] >= 0.99
    with zipfile.ZipFile(report.path) as bundle:
        assert {"model.onnx", "tokenizer.json", "preprocess.json", "predict.py"} <= set(bundle.namelist())
        assert "tokenizers==" in bundle.read("requirements.txt").decode()
        assert json.loads(bundle.read("preprocess.json"))["kind"] == "word-pieces"
    assert [guess["label"] for guess in load(report.path).predict(["the applestandzz of my"])] == ["fruit"]


@pytest.mark.parametrize("format", ["numpy", "openvino", "litert", "executorch"])
def test_other_formats_read_pieces_too(distilled, format):
    need(format)
    items = compounds(100, seed=4)[0]
    assert formats.export_model(distilled.student, format, items=items, measured=None).parity.agreement == 1.0


def test_a_saved_student_predicts_the_same_and_a_damaged_one_is_refused(distilled, tmp_path):
    items = compounds(20, seed=5)[0]
    save_student(tmp_path, distilled.student)
    again = load_student(tmp_path)
    assert np.array_equal(again.predict_proba(items), distilled.student.predict_proba(items))
    arrays = distilled.student.arrays()
    fewer = {**arrays, "table.weight": arrays["table.weight"][:-1]}
    for damaged in (fewer, {**arrays, "tokenizer": arrays["tokenizer"][:50]}):
        with pytest.raises(CorruptModel):
            Student.from_arrays("static-pieces", damaged, KINDS)


def test_a_warm_start_keeps_the_pieces_and_texts_that_are_cut_are_counted(distilled):
    items, y = compounds(60, seed=7)
    items = [*items[:-3], *(f"{'box ' * MOST_PIECES}{text}" for text in items[-3:])]
    rng = np.random.default_rng(0)
    again = distil(
        "static-pieces", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=rng,
        previous=distilled.student.arrays(),
    )  # fmt: skip
    assert again.report.warm
    assert again.student.network.words == distilled.student.network.words
    assert again.report.cut_share == pytest.approx(3 / 60)
    with pytest.raises(BadInput, match="Item 1 is no text but int"):
        distilled.student.predict_proba(["a", 1])


def test_it_is_made_when_it_is_named():
    assert make_family("text", "static-pieces") == "static-pieces"
    assert make_family("text") == "static"
