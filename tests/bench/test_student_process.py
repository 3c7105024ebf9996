"""A bundle measured in processes of its own."""

import pytest
import torch

from bench import student_process
from models.export.bundle import write_serving_folder
from models.students.static import StaticNetwork
from models.students.student import Student
from predictor.source import predict_source
from tests.predictor.bundles import text_bundle

TEXTS = [f"{word} number {n}" for n in range(10) for word in ("cat", "dog")]


@pytest.fixture(autouse=True)
def one_start(monkeypatch):
    monkeypatch.setattr(student_process, "_STARTS", 1)


def test_speed_start_and_the_first_answer_are_measured(tmp_path):
    network = StaticNetwork.create(TEXTS, 2, torch.Generator().manual_seed(0))
    write_serving_folder(Student(network, ["a", "b"]), tmp_path)
    (tmp_path / "predict.py").write_bytes(predict_source())
    found = student_process.served(tmp_path, TEXTS)
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["all_calls_p95_ms"]
    assert found["p50_ms"] <= found["all_calls_p50_ms"]
    assert found["cold_start_cpu_s"] > 0
    assert found["cold_start_s"] > 0
    assert (found["first_texts"], found["first_other_labels"], found["first_differ"]) == (20, 0, 0)
    assert found["first_largest_difference"] <= 1.1e-6


def test_a_first_answer_that_needs_the_runtime_is_held_against_nothing(tmp_path):
    folder = text_bundle(tmp_path)
    (folder / "predict.py").write_bytes(predict_source())
    found = student_process.served(folder, TEXTS)
    assert [name for name in found if name.startswith("first")] == []
    assert found["peak_mb"] > 1
