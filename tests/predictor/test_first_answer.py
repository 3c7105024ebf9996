"""What predict.py answers before numpy and onnxruntime are loaded is what they answer."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from models.export.bundle import write_serving_folder
from models.export.onnx_graph import build_graph
from models.students.static import StaticNetwork
from models.students.student import Student
from predictor import load
from predictor.first_answer import first_answers
from predictor.source import predict_source
from tests.predictor.bundles import text_bundle

TEXTS = [
    "apple pie",
    "APPLE Straße STRASSE 我爱苹果",
    "a saw, a drill",
    "",
    "!?",
    "\ud800",
    "a\x00b",
    "unknown",
    "saw " * 900,
]
LAYERS = ("table", "hidden", "head")
RANGES = {"table": None, "hidden": (-3.0, 3.5), "head": (0.0, 6.0)}
VARIANTS = [layers for n in range(4) for layers in combinations(LAYERS, n)]


def student(classes=("fruit", "tool", "rest")):
    network = StaticNetwork.create(TEXTS, len(classes), torch.Generator().manual_seed(0))
    network.scale = 1.25
    return Student(network, classes)


def bundle(folder, small=LAYERS, change=None, manifest=None, **more):
    """A bundle of random weights, of which some layers are INT8; its graph is changed where that is told."""
    made = student(**more)
    write_serving_folder(made, folder)
    graph = build_graph(made, {name: RANGES[name] for name in small})
    if change is not None:
        change(graph)
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    told = json.loads((folder / "manifest.json").read_text("utf-8"))
    del told["sha256"]["model.onnx"]
    (folder / "manifest.json").write_text(json.dumps({**told, **(manifest or {})}), "utf-8")
    return folder


@pytest.mark.parametrize("small", VARIANTS)
def test_it_is_what_the_runtime_answers_for_each_choice_of_small_layers(tmp_path, small):
    folder = bundle(tmp_path, small)
    found = first_answers(TEXTS, folder)
    expected = load(folder).predict_proba(TEXTS)
    assert [list(answer["probabilities"]) for answer in found] == [["fruit", "tool", "rest"]] * len(TEXTS)
    probabilities = np.array([list(answer["probabilities"].values()) for answer in found])
    assert probabilities == pytest.approx(expected, abs=2e-6)
    assert len({answer["label"] for answer in found}) > 1
    for answer in found:
        assert answer["confidence"] == max(answer["probabilities"].values()) == answer["probabilities"][answer["label"]]


@pytest.mark.parametrize("arguments", [[], ["--file", "in.jsonl"], ["a", "--threads=2"], ["a"] * 17, ["a" * 20_001]])
def test_options_and_many_texts_are_left_to_the_whole_program(tmp_path, arguments):
    assert first_answers(arguments, bundle(tmp_path)) is None


def test_a_folder_that_cannot_be_looked_into_is_told_by_the_whole_program(tmp_path):
    assert first_answers(["apple"], tmp_path / ("x" * 5_000)) is None


def test_a_student_of_very_many_classes_is_left_to_the_runtime(tmp_path):
    few, many = ([f"class {n}" for n in range(count)] for count in (700, 800))
    assert first_answers(["apple"], bundle(tmp_path / "few", classes=few)) is not None
    assert first_answers(["apple"], bundle(tmp_path / "many", classes=many)) is None


def changed(kind, **attributes):
    """A change of the attributes of each node of a kind."""

    def change(graph):
        for node in graph.graph.node:
            for attribute in node.attribute:
                if node.op_type == kind and attribute.name in attributes:
                    attribute.CopyFrom(onnx.helper.make_attribute(attribute.name, attributes[attribute.name]))

    return change


def filled(name, value):
    """A change of all numbers of a constant."""

    def change(graph):
        for tensor in graph.graph.initializer:
            if tensor.name == name:
                array = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, value), name))

    return change


def without(kind):
    """A graph without its nodes of a kind."""

    def change(graph):
        kept = [node for node in graph.graph.node if node.op_type != kind]
        del graph.graph.node[:]
        graph.graph.node.extend(kept)

    return change


def newer(graph):
    graph.opset_import[0].version += 1


def twice(graph):
    graph.graph.initializer.append(graph.graph.initializer[0])


CHANGES = {
    "another expression": changed("Tokenizer", tokenexp="[a-z]+"),
    "case that counts": changed("StringNormalizer", case_change_action="NONE"),
    "another axis": changed("Softmax", axis=0),
    "more rows than the table has": changed("LabelEncoder", values_int64s=[999] * len(student().network.words.rows)),
    "fewer rows than words": changed("LabelEncoder", values_int64s=[1]),
    "no rectifier": without("Relu"),
    "weights that are none": filled("hidden_b", np.nan),
    "a step that is none": filled("head_scale", np.nan),
    "a step of nothing": filled("hidden_scale", 0),
    "words for rows": changed("LabelEncoder", values_int64s=["1"] * len(student().network.words.rows)),
    "another axis of sums": filled("axis1", 0),
    "weights around another zero": filled("head_w_zero", 1),
    "an operator set of its own": newer,
    "a constant twice": twice,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_graph_that_is_not_to_the_last_node_a_student_s_is_left_to_the_runtime(tmp_path, name):
    assert first_answers(["apple"], bundle(tmp_path, change=CHANGES[name])) is None


@pytest.mark.parametrize(
    "manifest", [{"bundle": "cascade"}, {"runtime": "numpy"}, {"task": "image"}, {"format": 2}, {"sha256": [1]}]
)
def test_other_bundles_are_left_to_the_whole_program(tmp_path, manifest):
    assert first_answers(["apple"], bundle(tmp_path / "a", manifest=manifest)) is None
    assert first_answers(["dog"], text_bundle(tmp_path / "b")) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.onnx", b"damaged"),
        ("labels.json", b'["a", "b"]'),
        ("labels.json", b"[]"),
        ("preprocess.json", b"{}"),
        ("manifest.json", None),
    ],
)
def test_what_is_damaged_is_told_by_the_whole_program(tmp_path, name, data):
    folder = bundle(tmp_path)
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)
    assert first_answers(["apple"], folder) is None


def test_predict_py_answers_texts_without_loading_anything_heavy(tmp_path):
    folder = bundle(tmp_path)
    (folder / "predict.py").write_bytes(predict_source())
    command = [sys.executable, "-I", "-S", "-X", "importtime", "predict.py", "apple pie", "Straße 苹果"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == first_answers(["apple pie", "Straße 苹果"], folder)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hashlib" in loaded
    assert loaded & {"numpy", "onnxruntime", "typing", "zipfile", "argparse"} == set()


def test_predict_py_goes_on_to_the_whole_program_where_it_has_to(tmp_path):
    folder = bundle(tmp_path)
    (folder / "in.jsonl").write_text('{"text": "apple pie"}\n')
    (folder / "predict.py").write_bytes(predict_source())
    outcomes = []
    for arguments in (["--file", "in.jsonl"], ["apple pie"]):
        command = [sys.executable, "predict.py", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        outcomes.append(json.loads(done.stdout))
    assert outcomes[0]["probabilities"] == pytest.approx(outcomes[1]["probabilities"], abs=2e-6)
    (folder / "model.onnx").write_bytes(b"damaged")
    command = [sys.executable, "predict.py", "apple"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("model.onnx cannot be loaded")
