"""Bundles for other runtimes answer as the student does, through the same predict.py."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from models.artifacts import save_student
from models.compression.compact import Compact
from models.errors import BadInput, MissingExtra, ModelError, ParityError
from models.export import formats
from models.export.bundle import export_bundle
from models.export.card import CardFacts, Latency
from models.export.cascade_bundle import CascadeTeacher, export_cascade
from models.linear_head import LinearHead
from predictor import BundleError, load
from predictor.numpy_runtime import NumpySession
from tests.models.small_students import image_student, images, text_student, texts, vector_student, vectors
from tests.models.tiny_trunks import transformer_student

STUDENTS = {"text": (text_student, texts), "image": (image_student, images), "features": (vector_student, vectors)}


def need(format):
    package = {"openvino": "openvino", "litert": "ai_edge_litert", "executorch": "executorch"}.get(format)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (the extra dev brings it)")


def export(folder: Path, task: str, format: str) -> Path:
    make, pool = STUDENTS[task]
    save_student(folder / "student", make())
    items, y = pool(120, seed=2)
    export_bundle(
        folder / "student", format, calibration=items, parity_items=items, card=CardFacts("mail"), measured=(items, y),
        out=folder / "bundle.zip", latency=Latency(0.1, 10.0, "a test"),
    )  # fmt: skip
    return folder / "bundle.zip"


@pytest.mark.parametrize("format", ["numpy", "openvino", "litert", "executorch", "huggingface"])
@pytest.mark.parametrize("task", STUDENTS)
def test_a_bundle_of_each_format_answers_as_its_student(task, format, tmp_path):
    need(format)
    make, pool = STUDENTS[task]
    items, _ = pool(70, seed=7)  # more than a program of ExecuTorch takes at once
    predictor = load(export(tmp_path, task, format))
    tolerance = 2e-3 if format == "openvino" else 1e-5
    assert predictor.predict_proba(items) == pytest.approx(make().predict_proba(items), abs=tolerance)
    assert predictor.predict_proba(items[:1]) == pytest.approx(make().predict_proba(items[:1]), abs=tolerance)
    assert predictor.manifest["bundle"] == format
    assert predictor.manifest["parity"]["agreement"] >= 0.99
    assert predictor.manifest["parity"]["measured"] == 120
    assert "onnxruntime" not in predictor.manifest["versions"]


def test_the_numpy_bundle_needs_numpy_only(tmp_path):
    with zipfile.ZipFile(export(tmp_path, "text", "numpy")) as archive:
        archive.extractall(tmp_path / "unpacked")
        assert set(archive.namelist()) == {
            "README.md", "labels.json", "manifest.json", "model.safetensors", "predict.py", "preprocess.json",
            "requirements.txt",
        }  # fmt: skip
    assert (tmp_path / "unpacked" / "requirements.txt").read_text().startswith("numpy==")
    code = (
        "import sys; sys.path.insert(0, '.'); import predict; predict.main(['apple banana']);"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'onnxruntime', 'torch', 'safetensors', 'PIL'}))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path / "unpacked", capture_output=True, text=True, check=True
    )
    answer, loaded = done.stdout.splitlines()
    assert json.loads(answer)["label"] == "fruit"
    assert loaded == "[]"


def test_the_hub_s_folder_names_the_classes_as_its_programs_read_them(tmp_path):
    with zipfile.ZipFile(export(tmp_path, "image", "huggingface")) as archive:
        config = json.loads(archive.read("config.json"))
        card = archive.read("README.md").decode()
    assert config["id2label"] == {"0": "lying", "1": "standing", "2": "none"}
    assert config["label2id"]["standing"] == 1
    assert config["model_type"] == "winnow-convnet"
    assert "library_name: winnow" in card
    assert "`config.json` and `model.safetensors` have" in card


def test_openvino_reports_to_nobody_that_it_was_imported(tmp_path):
    need("openvino")
    code = (
        "import sys; from predictor.openvino_runtime import import_openvino; import_openvino();"
        "import openvino.tools.ovc as tools; print(type(tools.telemetry).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


@pytest.mark.parametrize(
    ("format", "package"), [("openvino", "openvino"), ("litert", "ai_edge_litert"), ("executorch", "executorch.exir")]
)
def test_where_a_package_is_missing_the_extra_is_named(format, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"\[{format}\]"):
        export(tmp_path, "features", format)
    assert not (tmp_path / "bundle.zip").exists()


def test_a_family_that_a_format_cannot_hold_is_refused_with_those_that_can(tmp_path, monkeypatch):
    def no_layers(network):
        raise ModelError("not a list of layers")

    monkeypatch.setattr(formats, "layers_of", no_layers)
    with pytest.raises(ModelError, match="'mlp' cannot be exported as numpy; use onnx-int8 or onnx"):
        export(tmp_path, "features", "numpy")


@pytest.mark.parametrize("format", formats.OTHER_FORMATS)
def test_a_transformer_student_is_had_as_onnx_only(format):
    with pytest.raises(ModelError, match=f"'transformer-1' cannot be exported as {format}; use onnx-int8 or onnx"):
        formats.export_model(transformer_student("transformer-1"), format, items=["apple"], measured=None)


def test_a_transformer_student_is_no_part_of_a_cascade(tmp_path):
    save_student(tmp_path / "student", transformer_student("transformer-1"))
    head = LinearHead(np.zeros((2, 4), np.float32), np.zeros(2, np.float32), 1.0)
    teacher = CascadeTeacher(Compact(b"", "", {}), head)
    given = {"fresh": ["apple"], "calibration": ["apple"], "parity_items": ["apple"], "card": CardFacts("p")}
    with pytest.raises(BadInput, match=r"'transformer-1' brings its own\. Export it as onnx-int8"):
        export_cascade(tmp_path / "student", teacher, out=tmp_path / "bundle.zip", **given)


def test_files_that_do_not_answer_as_the_student_are_not_handed_out(tmp_path, monkeypatch):
    build = formats.OTHER_FORMATS["numpy"]
    other = formats.Format("numpy", (), lambda student: build.build(upside_down(student)), "numpy")
    monkeypatch.setitem(formats.OTHER_FORMATS, "numpy", other)
    with pytest.raises(ParityError, match="99% are needed"):
        export(tmp_path, "features", "numpy")


def upside_down(student):
    from models.students.student import Student

    arrays = student.arrays()
    return Student.from_arrays("mlp", {**arrays, "head.weight": -arrays["head.weight"]}, student.class_names)


@pytest.mark.parametrize("format", ["openvino", "litert", "executorch"])
def test_threads_that_share_a_predictor_do_not_mix_their_answers(format, tmp_path):
    need(format)
    predictor = load(export(tmp_path, "text", format))
    wrong = []

    def work(word, label):
        found = [predictor.predict([f"{word} {word}"] * (1 + k % 3))[0]["label"] for k in range(40)]
        wrong.extend(answer for answer in found if answer != label)

    threads = [Thread(target=work, args=pair) for pair in [("apple", "fruit"), ("hammer", "tool")] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("format", "file"), [("openvino", "model.xml"), ("litert", "model.tflite"), ("executorch", "model.pte")]
)
def test_a_damaged_model_is_refused_by_its_runtime(format, file, tmp_path):
    need(format)
    with zipfile.ZipFile(export(tmp_path, "features", format)) as archive:
        archive.extractall(tmp_path / "unpacked")
    path = tmp_path / "unpacked" / file
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BundleError, match="damaged"):
        load(tmp_path / "unpacked")
    manifest = json.loads((tmp_path / "unpacked" / "manifest.json").read_text())
    (tmp_path / "unpacked" / "manifest.json").write_text(json.dumps({**manifest, "sha256": {}}))
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BundleError, match="cannot be loaded"):
        load(tmp_path / "unpacked")


def numpy_model(**changes):
    header = {
        "__metadata__": {
            "layers": json.dumps([{"kind": "dense", "name": "head", "relu": False}]),
            "input": '["items", 1]',
        },
        "head.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        "head.bias": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        **changes,
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + np.array([1, -1, 0, 0.5], "<f4").tobytes()


def test_a_model_of_layers_is_computed_as_one_does_by_hand():
    session = NumpySession(numpy_model())
    [found] = session.run(["probabilities"], {"input": np.array([[2.0]], np.float32)})
    assert found == pytest.approx(np.array([[1, np.exp(-3.5)]]) / (1 + np.exp(-3.5)), abs=1e-6)
    assert (session.get_inputs()[0].shape, session.get_outputs()[0].shape) == (["items", 1], ["items", 2])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 7,
        (1 << 60).to_bytes(8, "little"),
        numpy_model()[:-1],
        numpy_model(**{"head.bias": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}),
        numpy_model(**{"head.bias": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [8, 16]}}),
        numpy_model(**{"head.bias": {"dtype": "O", "shape": [2], "data_offsets": [8, 16]}}),
        numpy_model(**{"head.bias": 3}),
        numpy_model(__metadata__={}),
        numpy_model(__metadata__={"layers": "[" * 100_000, "input": "[]"}),
        numpy_model(__metadata__={"layers": '[{"kind": "__init__", "name": "head"}]', "input": '["items", 1]'}),
        numpy_model(__metadata__={"layers": '[{"kind": "conv", "name": "conv1"}]', "input": '["items", 1]'}),
    ],
)
def test_a_damaged_or_hostile_file_is_refused(data):
    with pytest.raises(BundleError, match=r"model\.safetensors"):
        NumpySession(data)
