"""The exported graph of a transformer student: exact in fp32, near in INT8, layers in fp32 where need be."""

import numpy as np
import onnx
import pytest

from models.compress import Parity, compress
from models.errors import ParityError
from models.export.transformer_graph import (
    build_transformer,
    compress_transformer,
    measure_amplitudes,
    quantised_names,
)
from predictor.runtime import Predictor
from tests.models.small_students import texts
from tests.models.tiny_trunks import DIM, transformer_student

ITEMS = [*texts(40, seed=2)[0], "", "☃", "apple " * 60, "[PAD] apple [CLS]", "hammers and bananas!"]
NAMES = ["words", "layer0.heads", "layer0.mixed", "layer0.inner", "layer0.outer"]


def predictor(model):
    student = transformer_student("transformer-1")
    return Predictor(model, student.class_names, "text", student.network.preprocess())


def agreeing(agreement):
    return Parity(agreement, 100, None, None, 0)


@pytest.mark.parametrize("family", ["transformer-1", "transformer-2"])
def test_in_fp32_it_predicts_what_the_student_does(family):
    student = transformer_student(family)
    made = Predictor(student.to_onnx().SerializeToString(), student.class_names, "text", student.network.preprocess())
    expected = student.predict_proba(ITEMS)
    assert made.predict_proba(ITEMS) == pytest.approx(expected, abs=1e-5)
    alone = np.concatenate([made.predict_proba([item]) for item in ITEMS])
    assert alone == pytest.approx(expected, abs=1e-5)


def test_in_int8_every_table_and_kernel_is_stored_in_a_byte_a_weight():
    student = transformer_student("transformer-1")
    found = compress(student, calibration=ITEMS, items=ITEMS)
    assert found.layers == {**dict.fromkeys(NAMES, "int8"), "head": "fp32"}
    assert predictor(found.model).predict_proba(ITEMS) == pytest.approx(student.predict_proba(ITEMS), abs=0.1)
    graph = onnx.load_model_from_string(found.model).graph
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in ("words.table", *(f"{each}.kernel" for each in NAMES[1:])):
        assert stored[name].dtype == np.int8
    assert np.abs(stored["layer0.heads.kernel"]).max() == 63  # seven bits: older processors' products do not saturate
    assert stored["head.kernel"].dtype == np.float32


def test_only_what_is_named_is_quantised():
    network = transformer_student("transformer-1").network
    model = build_transformer(network, ["layer0.inner"])
    kinds = {node.name: node.op_type for node in model.graph.node}
    assert kinds["layer0.inner"] == "DynamicQuantizeMatMul"
    assert kinds["layer0.outer"] == "Add"
    assert kinds["words"] == "Gather"


def test_amplitudes_are_each_channel_s_largest_value_over_the_texts():
    network = transformer_student("transformer-1").network
    some, more = measure_amplitudes(network, ITEMS[:1]), measure_amplitudes(network, ITEMS[:3])
    assert set(some) == {"embedded.normed", "layer0.attention", "layer0.gelu", "layer0.output"}
    assert some["layer0.output"].shape == (DIM,)
    assert all((more[name] >= some[name]).all() for name in some)
    # The last layer's normalisation bounds what it gives out.
    gain = np.abs(network.encoder["layer"][0].output["LayerNorm"].weight.detach().numpy()).max()
    assert more["layer0.output"].max() <= gain * np.sqrt(DIM) + 1


def test_the_layer_that_harms_most_stays_fp32():
    network = transformer_student("transformer-1").network

    def judge(model):
        return agreeing(0.5 if b"layer0.outer.scale" in model else 1.0)

    _, parity, layers = compress_transformer(network, judge, ITEMS)
    assert parity.agreement == 1.0
    assert layers == {**dict.fromkeys(NAMES, "int8"), "layer0.outer": "fp32", "head": "fp32"}


def test_where_nothing_helps_the_export_fails_with_its_figures():
    with pytest.raises(ParityError, match=r"agrees on 50\.00% of 100 items.*with every layer in fp32"):
        compress_transformer(transformer_student("transformer-1").network, lambda model: agreeing(0.5), ITEMS)


def test_without_calibration_all_stays_fp32():
    network = transformer_student("transformer-2").network
    _, _, layers = compress_transformer(network, lambda model: agreeing(1.0), None)
    assert set(layers.values()) == {"fp32"}
    assert set(layers) == {*quantised_names(network), "head"}


def test_the_same_student_gives_the_same_bytes():
    network = transformer_student("transformer-1").network
    made = [compress_transformer(network, lambda model: agreeing(1.0), ITEMS)[0] for _ in range(2)]
    assert made[0] == made[1]
