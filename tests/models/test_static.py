"""Students of words: which words they know, where their vectors begin, and what their graph reads."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch

from models.artifacts import load_student, save_student
from models.bag_regression import regress_bags
from models.compress import activation_ranges, compress
from models.distill import distil
from models.errors import BadInput, CorruptModel
from models.export.bundle import write_serving_folder
from models.export.onnx_graph import build_graph
from models.students.static import MOST_WORDS, StaticNetwork, Words
from models.students.student import Student
from predictor import ItemError, load
from predictor.runtime import Predictor
from tests.models.small_students import KINDS, soft_labels, texts

LANGUAGES = {
    "German": ["Die Straße nach Köln ist GESPERRT", "Ärger mit der Bahn", "schöne Grüße aus ÖSTERREICH"],
    "Turkish": ["İstanbul'da hava ILIK", "istanbul ve ısparta", "DİYARBAKIR çok güzel"],
    "Chinese": ["我爱北京天安门", "东京塔很高,北京也很大", "价格是12.5元"],
    "Arabic": ["مرحبا بالعالم", "السَّلامُ عليكم", "كيف حالك اليوم؟"],
    "Hindi": ["हिन्दी में लिखा", "यह किताब अच्छी है।"],
    "Greek": ["ΟΔΟΣ ΑΘΗΝΩΝ", "οδός Αθηνών"],
    "Thai": ["สวัสดีครับ", "ราคา 100 บาท"],
    "mixed": [
        "e\u0301te\u0301 été ÉTÉ",
        "good😀👍 ok",
        "①② a① x_y 3rd",
        "ﬁne x² Ⅷ",
        "a\u00adb",
        "",
        "!?",
        "\ud800",
        "a\x00b",
    ],
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def static_student(items, n_classes=2, seed=0):
    network = StaticNetwork.create(items, n_classes, generator(seed))
    return Student(network, [f"class {i}" for i in range(n_classes)])


def served(student, int8=None):
    return Predictor(build_graph(student, int8).SerializeToString(), student.class_names, "text", None)


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_are_numbered_by_how_many_texts_they_are_in():
    words = Words.of(["b a a a", "b c", "b"])
    assert words.rows == {"b": 1, "a": 2, "c": 3}
    assert Words.of(["b", "c b", "a a a b"]).rows == words.rows  # the order of texts says nothing


def test_in_a_pool_of_some_size_a_word_of_one_text_gets_no_vector():
    assert set(Words.of(["common"] * 499 + ["common single"]).rows) == {"common"}
    assert set(Words.of(["common"] * 498 + ["common single"]).rows) == {"common", "single"}


def test_the_vocabulary_is_bounded():
    assert Words.of([f"w{i}" for i in range(MOST_WORDS + 50)] * 2).count == MOST_WORDS


@pytest.mark.parametrize(
    ("seen", "later"),
    [
        ("Straße", ["straße", "STRASSE", "STRAßE", "strasse"]),
        ("über", ["Über", "ÜBER", "u\u0308ber", "U\u0308BER"]),
        ("İstanbul", ["istanbul", "ISTANBUL", "Istanbul", "İSTANBUL"]),
        ("ÉTÉ", ["été", "Été", "e\u0301te\u0301"]),
        ("αθηνών", ["ΑΘΗΝΏΝ", "Αθηνών"]),
        ("МОСКВА", ["москва", "Москва"]),
    ],
)
def test_a_word_is_known_in_other_cases_and_compositions(seen, later):
    words = Words.of([seen])
    ids, counts = words.look_up(later)
    assert counts.tolist() == [1] * len(later)
    assert set(ids) == {1}


def test_a_form_that_was_seen_is_not_taken_for_another_word():
    # The Turkish ısparta is written ISPARTA in capitals, which elsewhere is the capital form of isparta.
    words = Words.of(["ısparta", "isparta", "isparta"])
    assert words.look_up(["isparta", "ısparta"])[0].tolist() == [1, 2]


def test_words_survive_as_an_array():
    words = Words.of([text for group in LANGUAGES.values() for text in group])
    assert Words.from_array(words.array()).rows == words.rows
    assert Words.from_array(Words.of([]).array()).count == 0


# --- where vectors begin ----------------------------------------------------------------------------------------------


def test_the_regression_finds_vectors_whose_means_are_the_features():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(9, 3)).astype(np.float32)
    true[0] = 0
    counts = rng.integers(1, 6, 400)
    ids = rng.integers(1, 9, counts.sum())
    begins = np.cumsum(counts) - counts
    features = np.add.reduceat(true[ids], begins) / counts[:, None]
    table = regress_bags(ids, counts, 9, features, 3, penalty=1e-4)
    means = np.add.reduceat(table[ids], begins) / counts[:, None]
    centred = features - features.mean(0)
    # The projection turns: distances stay.
    left, right = (
        np.linalg.norm(means[:50] - means[50:100], axis=1),
        np.linalg.norm(centred[:50] - centred[50:100], axis=1),
    )
    assert left == pytest.approx(right, abs=0.02)
    assert not table[0].any()


def test_the_regression_comes_near_the_exact_solution_where_a_few_words_are_in_nearly_all_texts():
    rng = np.random.default_rng(0)
    n, rows, dim = 600, 300, 4
    counts = np.full(n, 12)
    frequency = 1 / np.arange(1, rows)
    ids = 1 + rng.choice(rows - 1, counts.sum(), p=frequency / frequency.sum())
    features = rng.normal(size=(n, dim)).astype(np.float32)
    table = regress_bags(ids, counts, rows, features, dim, penalty=0.03)
    bags = np.zeros((n, rows))
    np.add.at(bags, (np.repeat(np.arange(n), counts), ids), 1 / 12)
    centred = features - features.mean(0)
    exact = np.linalg.solve(bags.T @ bags + 0.03 * np.eye(rows), bags.T @ centred)
    # The projection turns: what words have in common stays.
    assert np.abs(table @ table.T - exact @ exact.T).max() < 0.02 * np.abs(exact @ exact.T).max()


def test_the_regression_takes_texts_without_words_and_fewer_features_than_columns():
    table = regress_bags(np.array([1, 2, 1]), np.array([2, 0, 1]), 3, np.eye(3, 2), 5)
    assert table.shape == (3, 5)
    assert np.isfinite(table).all()
    assert not table[:, 2:].any()
    assert not regress_bags(np.zeros(0, np.int64), np.zeros(3, np.int64), 3, np.eye(3), 2).any()


def test_with_features_a_student_of_a_handful_of_soft_labels_knows_words_that_only_the_features_speak_of():
    items, y = texts(400)
    features = np.stack([y, 1 - y], 1).astype(np.float32)
    network = StaticNetwork.create(items, 2, generator())
    network.begin_from(network.prepare(items), features)
    vectors = network.table.weight.detach().numpy()
    fruit, tool = ([vectors[network.words.rows[w]] for w in kind] for kind in (["apple", "mango"], ["saw", "drill"]))
    assert np.dot(*fruit) > 0
    assert np.dot(fruit[0], tool[0]) < 0
    assert np.linalg.norm(vectors[network.words.rows["the"]]) < 0.3 * np.linalg.norm(fruit[0])


# --- training ---------------------------------------------------------------------------------------------------------


def distilled(n=400, **options):
    items, y = texts(n)
    rng = np.random.default_rng(0)
    return distil("static", items, soft_labels(y, 2), [], [], class_names=KINDS, rng=rng, **options)


def test_it_learns_and_the_same_seed_gives_the_same_student():
    items, y = texts(200, seed=9)
    features = np.stack([texts(400)[1], np.ones(400)], 1)
    first, second = distilled(features=features).student, distilled(features=features).student
    assert (first.predict_proba(items).argmax(1) == y).all()
    assert np.array_equal(first.predict_proba(items), second.predict_proba(items))


def test_a_warm_start_keeps_the_vocabulary():
    first = distilled()
    again = distilled(previous=first.student.arrays())
    assert again.report.warm
    assert again.student.network.words.rows == first.student.network.words.rows


@pytest.mark.parametrize(("shape", "message"), [((3, 2), "for 400 items"), ((400,), "for 400 items")])
def test_features_of_another_shape_are_refused(shape, message):
    with pytest.raises(BadInput, match=message):
        distilled(features=np.zeros(shape))


def test_a_saved_student_predicts_the_same_and_a_damaged_one_is_refused(tmp_path):
    student = static_student(LANGUAGES["German"] + LANGUAGES["Chinese"])
    save_student(tmp_path, student)
    assert np.array_equal(load_student(tmp_path).predict_proba(["köln 北京"]), student.predict_proba(["köln 北京"]))
    arrays = student.arrays()
    with pytest.raises(CorruptModel, match="words for a table"):
        Student.from_arrays("static", {**arrays, "words": arrays["words"][:20]}, student.class_names)


# --- the graph --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_graph_splits_and_finds_words_as_the_student_does(language):
    pool = [text for text in LANGUAGES[language] if "\ud800" not in text]
    student = static_student(pool)
    asked = [*LANGUAGES[language], *(t.upper() for t in pool), *(t.lower() for t in pool), *(t.title() for t in pool)]
    own = student.predict_proba(asked)
    assert served(student).predict_proba(asked) == pytest.approx(own, abs=1e-5)
    assert len(np.unique(own[: len(pool)].round(6), axis=0)) > 1


def test_one_text_gets_what_it_gets_among_many():
    student = static_student([text for group in LANGUAGES.values() for text in group if "\ud800" not in text])
    predictor = served(student)
    asked = [text for group in LANGUAGES.values() for text in group]
    alone = np.concatenate([predictor.predict_proba([text]) for text in asked])
    assert predictor.predict_proba(asked * 40)[: len(asked)] == pytest.approx(alone, abs=1e-6)


def test_the_int8_graph_is_one_file_that_reads_texts_and_agrees():
    student = distilled().student
    items, _ = texts(300, seed=3)
    result = compress(student, calibration=items[:100], items=items)
    assert result.layers == {"table": "int8", "hidden": "int8", "head": "int8"}
    assert result.parity.agreement >= 0.99
    graph = onnx.load_model_from_string(result.model).graph
    assert [value.type.tensor_type.elem_type for value in graph.input] == [onnx.TensorProto.STRING]
    P, Q = student.predict_proba(items), served(student, activation_ranges(student, items)).predict_proba(items)
    assert np.abs(P - Q).max() < 0.1
    assert not np.array_equal(P, Q)


def test_its_folder_needs_no_preprocessing_and_names_what_is_no_text(tmp_path):
    write_serving_folder(static_student(["a b"]), tmp_path)
    assert not (tmp_path / "preprocess.json").exists()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["inputs"] == [{"name": "input", "type": "string", "shape": ["items"]}]
    with pytest.raises(ItemError, match="reads texts, not int") as caught:
        load(tmp_path).predict(["a", 3])
    assert caught.value.index == 1
