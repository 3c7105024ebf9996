"""A bundle has the contract's members, runs by itself, says where it comes from, and is the same bytes each time."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from importlib.metadata import version

import numpy as np
import pytest
import yaml

from models.artifacts import save_student
from models.errors import CorruptModel, ModelError
from models.export.bundle import export_bundle, write_serving_folder
from models.export.card import CardFacts, Latency
from models.reports import build_report
from predictor import load
from predictor.source import predict_source
from tests.models.small_students import image_student, images, text_student, texts, vector_student, vectors

LATENCY = Latency(0.05, 50_000.0, "a test")
MEMBERS = {
    "text": {"preprocess.json"},
    "image": {"preprocess.json"},
    "features": set(),
}
ALWAYS = {"model.onnx", "labels.json", "predict.py", "requirements.txt", "README.md", "manifest.json"}
STUDENTS = {"text": (text_student, texts), "image": (image_student, images), "features": (vector_student, vectors)}


def facts(**changes):
    given = {
        "project": "Fruit & <b>tools</b>",
        "version": 3,
        "label_counts": {"human": 40, "import": 2},
        "labels_per_class": {"fruit": 42, "tool": 0},
        "accuracy": {"value": 0.912, "low": 0.85, "high": 0.95, "labels": 140},
        "energy": {"cpu_seconds": 12.5, "watt_hours": 0.034, "grams_co2e": 0.0139},
        "n_pool": 400,
        "teacher": "a logistic regression",
        "recipe": {"strategy": "auto", "epochs": np.int64(8)},
        "seed": 17,
        "created_at": "2026-11-20T10:00:00Z",
    }
    return CardFacts(**{**given, **changes})


def export(tmp_path, task="text", format="onnx-int8", **options):
    make, pool = STUDENTS[task]
    save_student(tmp_path / "student", make())
    items, _ = pool(150, seed=2)
    options = {"card": facts(), "latency": LATENCY, "out": tmp_path / "bundle.zip", **options}
    return export_bundle(tmp_path / "student", format, calibration=items[:100], parity_items=items, **options)


def unpack(report, to):
    with zipfile.ZipFile(report.path) as archive:
        archive.extractall(to)
    return to


@pytest.mark.parametrize("format", ["onnx-int8", "onnx"])
@pytest.mark.parametrize("task", STUDENTS)
def test_a_bundle_has_exactly_the_contract_s_members_at_its_root(task, format, tmp_path):
    report = export(tmp_path, task, format)
    with zipfile.ZipFile(report.path) as archive:
        assert set(archive.namelist()) == ALWAYS | MEMBERS[task]
        assert archive.testzip() is None
    assert report.bytes == report.path.stat().st_size
    assert set(report.layers.values()) == {"int8" if format == "onnx-int8" else "fp32"}


@pytest.mark.parametrize("task", STUDENTS)
def test_the_unpacked_bundle_runs_by_itself_and_answers_as_in_process(task, tmp_path):
    make, pool = STUDENTS[task]
    folder = unpack(export(tmp_path, task), tmp_path / "unpacked")
    items, _ = pool(20, seed=5)
    expected = load(folder).predict(items)
    rows = [json.dumps({task: encoded(item)}) for item in items]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    # -I: neither this checkout nor the environment may lend anything to it.
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "predict.py"), "--file", str(tmp_path / "in.jsonl")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    agreed = np.mean(
        [p["label"] for p in expected] == np.array(make().class_names)[make().predict_proba(items).argmax(1)]
    )
    assert agreed >= 0.95


def encoded(item):
    import base64

    if isinstance(item, bytes):
        return base64.b64encode(item).decode()
    return item if isinstance(item, str) else item.tolist()


def test_predict_py_is_the_predictor_s_own_source_and_stands_alone(tmp_path):
    folder = unpack(export(tmp_path), tmp_path / "unpacked")
    assert (folder / "predict.py").read_bytes() == predict_source()
    code = "import sys; sys.path.insert(0, '.'); import predict; print(sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    loaded = set(eval(done.stdout))
    assert not loaded & {"torch", "models", "predictor", "winnow", "onnx", "PIL", "sklearn", "requests", "tokenizers"}


def test_the_manifest_tells_checksums_shapes_parity_and_origin(tmp_path):
    report = export(tmp_path)
    folder = unpack(report, tmp_path / "unpacked")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["sha256"]) == {p.name for p in folder.iterdir()} - {"manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest["inputs"] == [{"name": "input", "type": "int64", "shape": ["items", "ids"]}]
    assert manifest["outputs"] == [{"name": "probabilities", "type": "float", "shape": ["items", 2]}]
    assert manifest["parity"] == dict(report.parity)
    assert manifest["layers"] == {"table": "int8"}
    assert (manifest["seed"], manifest["version"], manifest["bundle"]) == (17, 3, "onnx-int8")
    assert manifest["recipe"] == {"strategy": "auto", "epochs": 8}
    assert manifest["classes_never_seen"] == ["tool"]
    assert manifest["versions"]["onnxruntime"] == version("onnxruntime")
    assert json.loads((folder / "labels.json").read_text()) == ["fruit", "tool"]


@pytest.mark.parametrize(
    ("task", "names"), [("text", ["numpy", "onnxruntime"]), ("image", ["numpy", "onnxruntime", "pillow"])]
)
def test_requirements_are_pinned_to_what_is_installed(task, names, tmp_path):
    folder = unpack(export(tmp_path, task), tmp_path / "unpacked")
    assert (folder / "requirements.txt").read_text().splitlines() == [f"{name}=={version(name)}" for name in names]


def test_the_same_student_gives_the_same_bytes_whenever_it_is_exported(tmp_path, monkeypatch):
    first = export(tmp_path).path.read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert export(tmp_path, out=tmp_path / "again.zip").path.read_bytes() == first


def card(tmp_path, **changes):
    folder = unpack(export(tmp_path, card=facts(**changes)), tmp_path / "unpacked")
    text = (folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_tells_where_it_comes_from_and_what_it_was_measured_at(tmp_path):
    front, body = card(tmp_path)
    assert front["pipeline_tag"] == "text-classification"
    assert front["library_name"] == "onnxruntime"
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.912}]
    assert "91.2%, 95 % interval 85.0% to 95.0%, measured on 140 labels" in body
    assert "Labels trained on: 42 (40 human, 2 import)." in body
    assert "Classes never seen: `tool`." in body
    assert "12.5 CPU-seconds, 0.034 Wh (an estimate), 0.0139 g CO2e (an estimate)" in body
    assert "0.050 ms (median); many: 50,000 a second" in body
    assert "100.00% of 150 random items" in body
    assert "Seed: 17" in body


def test_the_card_says_what_is_not_known_instead_of_inventing(tmp_path):
    front, body = card(tmp_path, accuracy=None, energy=None, labels_per_class=None, label_counts={}, seed=None)
    assert "model-index" not in front
    assert "Not yet measurable" in body
    assert "## Energy\n\nNot recorded." in body
    assert "Labels for each class: not recorded." in body


def test_the_card_shows_the_report_and_the_bundle_brings_its_pictures(tmp_path):
    y = np.arange(200) % 2
    report = build_report(["fruit", "tool"], y, np.where(np.eye(2)[y] > 0, 0.8, 0.2))
    _, body = card(tmp_path, report=report, pictures={"confusion": b"png"})
    assert "Brier score 0.080" in body
    assert "Expected calibration error: 0.200." in body
    assert "| fruit | 100 | 1.000 | 1.000 | 1.000 |" in body
    assert "![Confusion matrix](confusion.png)" in body
    assert "calibration.png" not in body
    assert (tmp_path / "unpacked" / "confusion.png").read_bytes() == b"png"
    assert json.loads((tmp_path / "unpacked" / "report.json").read_text()) == report


def test_a_name_can_neither_break_out_of_the_front_matter_nor_bring_markup(tmp_path):
    front, body = card(tmp_path, project='x"\n---\nlicense: mit\n<script>`')
    assert front["license"] == "other"
    assert "<script" not in body


def test_latency_is_measured_where_none_is_given(tmp_path):
    report = export(tmp_path, "features", latency=None)
    assert report.latency.p50_ms > 0
    assert report.latency.items_per_second > 0
    assert report.latency.machine


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ModelError, match="'tflite'; use one of: onnx-int8, onnx, numpy"):
        export(tmp_path, format="tflite")


def test_a_damaged_student_is_not_exported(tmp_path):
    save_student(tmp_path / "student", text_student())
    (tmp_path / "student" / "student.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptModel):
        export_bundle(tmp_path / "student", calibration=[], parity_items=[], card=facts(), out=tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()


@pytest.mark.parametrize("task", STUDENTS)
def test_the_serving_folder_serves_the_fp32_student(task, tmp_path):
    make, pool = STUDENTS[task]
    write_serving_folder(make(), tmp_path / "serving")
    items, _ = pool(30, seed=5)
    assert load(tmp_path / "serving").predict_proba(items) == pytest.approx(make().predict_proba(items), abs=1e-5)
    assert not {p.name for p in (tmp_path / "serving").iterdir()} - {
        "model.onnx",
        "labels.json",
        "preprocess.json",
        "manifest.json",
    }


def test_files_in_a_bundle_are_readable_by_everybody(tmp_path):
    with zipfile.ZipFile(export(tmp_path).path) as archive:
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}
    assert os.path.sep not in "".join(archive.namelist())


def test_only_a_bundle_with_consent_has_what_collects(tmp_path):
    plain = unpack(export(tmp_path), tmp_path / "plain")
    assert json.loads((plain / "manifest.json").read_text())["collect"] is False
    assert not (plain / "collect.py").exists()
    open_ = unpack(export(tmp_path, collect=True), tmp_path / "open")
    manifest = json.loads((open_ / "manifest.json").read_text())
    assert manifest["collect"] is True
    assert {"collect.py", "novelty.json"} <= set(manifest["sha256"])
    assert json.loads((open_ / "novelty.json").read_text())["task"] == "text"
