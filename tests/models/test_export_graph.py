"""Graphs compute what the students compute, in fp32 exactly and in INT8 nearly."""

import numpy as np
import onnx
import onnxruntime
import pytest

from models.compress import activation_ranges
from models.export.layers import Dense, Table, layers_of
from models.export.onnx_graph import activation_scale, build_graph, quantise_weights
from models.students.hashed import HashedNetwork
from models.students.student import Student
from predictor.runtime import Predictor
from predictor.runtimes import session_options
from tests.models.small_students import image_student, images, text_student, texts, vector_student, vectors

STUDENTS = {"text": (text_student, texts), "image": (image_student, images), "features": (vector_student, vectors)}
STRANGE = [
    "",
    " ",
    "apple",
    "Straße STRASSE",
    "İstanbul",
    "我爱苹果",
    "مرحبا",
    "hammer😀",
    "saw drill " * 200,
    "\ud800",
    "a\x00b",
]


def served(student, int8=None):
    model = build_graph(student, int8).SerializeToString()
    return Predictor(model, student.class_names, student.task, student.network.preprocess())


def hashed_by_hand(n_classes, dim, rows=64):
    rng = np.random.default_rng(n_classes)
    table = rng.normal(size=(rows, dim)).astype(np.float32)
    table[0] = 0
    arrays = {
        "table": table,
        "head.weight": rng.normal(size=(n_classes, dim)).astype(np.float32),
        "head.bias": rng.normal(size=n_classes).astype(np.float32),
        "scale": np.array([1.5], np.float32),
    }
    return Student.from_arrays("hashed", arrays, [f"class {i}" for i in range(n_classes)])


@pytest.mark.parametrize("task", STUDENTS)
def test_the_fp32_graph_gives_the_student_s_own_probabilities(task):
    make, pool = STUDENTS[task]
    items, _ = pool(100, seed=2)
    assert served(make()).predict_proba(items) == pytest.approx(make().predict_proba(items), abs=1e-5)


@pytest.mark.parametrize("task", STUDENTS)
def test_the_int8_graph_gives_nearly_the_same(task):
    make, pool = STUDENTS[task]
    items, _ = pool(200, seed=2)
    student = make()
    P, Q = student.predict_proba(items), served(student, activation_ranges(student, items)).predict_proba(items)
    assert np.abs(P - Q).max() < 0.1
    assert not np.array_equal(P, Q)
    assert (P.argmax(1) == Q.argmax(1)).mean() >= 0.99


@pytest.mark.parametrize(("n_classes", "dim"), [(2, 16), (16, 16), (77, 48)])
def test_texts_of_any_script_and_length_agree_between_student_and_graph(n_classes, dim):
    student = hashed_by_hand(n_classes, dim)
    assert served(student).predict_proba(STRANGE) == pytest.approx(student.predict_proba(STRANGE), abs=1e-5)


def test_few_classes_melt_table_and_head_into_one_and_many_do_not():
    few, many = layers_of(hashed_by_hand(3, 16).network), layers_of(hashed_by_hand(77, 48).network)
    assert [type(layer) for layer in few] == [Table]
    assert few[0].weight.shape == (64, 3)
    assert not few[0].weight[0].any()
    assert [type(layer) for layer in many] == [Table, Dense]


@pytest.mark.parametrize("task", STUDENTS)
def test_graphs_are_valid_and_name_their_input_and_output(task):
    student = STUDENTS[task][0]()
    for int8 in (None, activation_ranges(student, STUDENTS[task][1](20)[0])):
        model = build_graph(student, int8)
        onnx.checker.check_model(model, full_check=True)
        assert [value.name for value in model.graph.input] == ["input"]
        assert [value.name for value in model.graph.output] == ["probabilities"]
        assert len(model.opset_import) == 1


def test_weights_of_an_int8_table_are_stored_in_eight_bits_with_a_scale_for_each_column():
    student = hashed_by_hand(77, 48)
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in build_graph(student, {"table": None}).graph.initializer
    }
    assert stored["table"].dtype == np.int8
    assert stored["table_scale"].shape == (48,)
    again = stored["table"] * stored["table_scale"]
    assert again == pytest.approx(student.arrays()["table"], abs=float(stored["table_scale"].max()) / 2 + 1e-6)


def test_quantised_weights_are_within_half_a_step_of_each_channel():
    weight = (
        np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32) * np.arange(1, 6)[:, None, None, None]
    )
    quantised, scale = quantise_weights(weight.astype(np.float32), axis=0)
    assert np.abs(quantised).max() == 63
    assert np.abs(quantised * scale[:, None, None, None] - weight).max(axis=(1, 2, 3)) == pytest.approx(
        np.zeros(5), abs=float(scale.max()) / 2 + 1e-6
    )


def test_a_channel_of_zeros_stays_zero():
    quantised, scale = quantise_weights(np.zeros((2, 2), np.float32), axis=1)
    assert not quantised.any()
    assert np.isfinite(scale).all()


@pytest.mark.parametrize(("seen", "zero"), [((0.0, 255.0), 0), ((-255.0, 0.0), 255), ((3.0, 5.1), 0), ((0.0, 0.0), 0)])
def test_the_range_of_activations_always_holds_zero(seen, zero):
    scale, point = activation_scale(seen)
    assert scale > 0
    assert point == zero


def test_a_negative_gain_of_a_normalisation_is_folded_right():
    student = image_student()
    arrays = {name: array.copy() for name, array in student.arrays().items()}
    arrays["blocks.0.norm.weight"][::2] *= -1
    turned = Student.from_arrays("convnet", arrays, student.class_names)
    items, _ = images(50, seed=8)
    assert served(turned).predict_proba(items) == pytest.approx(turned.predict_proba(items), abs=1e-5)


def test_the_graph_of_a_table_is_wide_as_its_hash_says():
    assert HashedNetwork(64, 16, 2).preprocess() == {"kind": "hashed-words-and-pairs", "rows": 64}


@pytest.mark.parametrize("task", ["image", "features"])
def test_no_run_turns_small_weights_into_floats_again(tmp_path, task):
    make, items = STUDENTS[task]
    student = make()
    graph = build_graph(student, activation_ranges(student, items(20)[0]))
    assert any(node.op_type == "DequantizeLinear" and "_w" in node.input[0] for node in graph.graph.node)
    options = session_options(1)
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = onnx.load(tmp_path / "run.onnx").graph
    held = {tensor.name for tensor in run.initializer}
    assert [node.name for node in run.node if "Dequantize" in node.op_type and node.input[0] in held] == []
