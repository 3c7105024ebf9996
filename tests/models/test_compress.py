"""The parity rule: what INT8 would change too much stays fp32; what cannot be saved is refused with its reason."""

import numpy as np
import pytest

from models import compress as compress_module
from models.compress import Parity, compress
from models.errors import ParityError
from models.students.student import Student
from predictor.runtime import Predictor
from tests.models.small_students import image_student, images, text_student, texts, vector_student, vectors


def test_a_well_behaved_student_is_int8_throughout():
    items, y = images(300, seed=3)
    done = compress(image_student(), calibration=items[:100], items=items, measured=(items, y))
    assert set(done.layers.values()) == {"int8"}
    assert done.parity.agreement >= 0.99
    assert done.parity.items == done.parity.measured == 300
    assert len(done.model) < 0.6 * len(compress(image_student(), calibration=[], items=items, int8=False).model)


def harmed_by_quantisation():
    """A perceptron whose first layer needs more than eight bits: one unit reads a faint difference on a huge weight."""
    arrays = {name: array.copy() for name, array in vector_student().arrays().items()}
    hidden = arrays["hidden.weight"]
    hidden[:] = 0
    # Unit 0 sums a huge and a faint input; unit 1 takes the huge one away again. In 8 bits the faint one is gone.
    hidden[0, :2] = [1000.0, 1.0]
    hidden[1, :2] = [1000.0, 0.0]
    arrays["hidden.bias"][:] = 0
    arrays["hidden.bias"][:2] = 10_000
    arrays["head.weight"][:] = 0
    arrays["head.weight"][0, :2] = [1.0, -1.0]
    arrays["head.weight"][1, :2] = [-1.0, 1.0]
    arrays["head.bias"][:] = [0.0, 0.0, -1e4]
    return Student.from_arrays("mlp", arrays, vector_student().class_names)


def test_a_layer_that_quantisation_would_harm_stays_fp32():
    items, _ = vectors(400, seed=6)
    done = compress(harmed_by_quantisation(), calibration=items, items=items)
    assert "fp32" in done.layers.values()
    assert done.parity.agreement >= 0.99
    predictor = Predictor(done.model, vector_student().class_names, "features")
    own = harmed_by_quantisation().predict_proba(items).argmax(1)
    assert (predictor.predict_proba(items).argmax(1) == own).mean() >= 0.99


def test_only_the_harmful_layer_is_left_out(monkeypatch):
    # A range that cuts off nearly everything makes one layer, and only it, harmful.
    true_ranges = compress_module.activation_ranges

    def spoiled(student, items):
        return {**true_ranges(student, items), "conv2": (0.0, 1e-6)}

    monkeypatch.setattr(compress_module, "activation_ranges", spoiled)
    items, _ = images(300, seed=3)
    done = compress(image_student(), calibration=items, items=items)
    assert done.layers == {"conv1": "int8", "conv2": "fp32", "head": "int8"}


def test_from_200_measured_labels_on_a_lost_point_of_accuracy_counts():
    assert Parity(0.995, 5000, 0.90, 0.92, 199).failure is None
    assert "90.00% instead of 92.00% on 200 labels" in (Parity(0.995, 5000, 0.90, 0.92, 200).failure or "")
    assert Parity(0.995, 5000, 0.91, 0.92, 200).failure is None
    assert "98.90%" in (Parity(0.989, 1000, None, None, 0).failure or "")
    assert Parity(0.99, 100, None, None, 0).failure is None


def test_a_graph_that_cannot_agree_even_in_fp32_is_refused_with_figures(monkeypatch):
    other = image_student()
    arrays = {name: array.copy() for name, array in other.arrays().items()}
    arrays["head.bias"] = arrays["head.bias"][::-1].copy() + np.array([9, 0, 0], np.float32)
    wrong = Student.from_arrays("convnet", arrays, other.class_names)
    true_graph = compress_module.build_graph
    monkeypatch.setattr(compress_module, "build_graph", lambda student, int8=None: true_graph(wrong, int8))
    items, _ = images(100, seed=3)
    with pytest.raises(
        ParityError, match=r"agrees on \d+\.\d+% of 100 items, 99% are needed, with every layer in fp32"
    ):
        compress(image_student(), calibration=items, items=items)


def test_no_more_than_five_thousand_items_are_compared(monkeypatch):
    monkeypatch.setattr(compress_module, "MOST_ITEMS", 50)
    items, _ = texts(80)
    assert compress(text_student(), calibration=[], items=items).parity.items == 50


def test_without_calibration_only_a_table_can_be_int8():
    items, _ = vectors(50)
    assert set(compress(vector_student(), calibration=[], items=items).layers.values()) == {"fp32"}
    words, _ = texts(50)
    assert compress(text_student(), calibration=[], items=words).layers == {"table": "int8"}


def test_an_empty_pool_compares_nothing_and_says_so():
    done = compress(text_student(), calibration=[], items=[])
    assert (done.parity.items, done.parity.measured, done.parity.accuracy) == (0, 0, None)
