"""Cascades of the service: the round's teacher becomes a head on a small encoder, and the bundle runs."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from models.compression.compact import Compact, build_compact
from models.compression.folder import save_compact
from predictor import Cascade, load
from tests.models.tiny_text_encoder import tiny_tokenizer, tiny_weights
from tests.worker.service import Service, text_of
from winnow import exports, jobs


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Compact:
    """Stands for MiniLM."""
    tiny = build_compact(tiny_weights(), tiny_tokenizer(), "fp32")
    monkeypatch.setattr("models.compression.minilm.compact_minilm", lambda texts: tiny)
    return tiny


def ask(service: Service, project: int, **payload: object) -> None:
    with service.database.write() as session:
        asked = {"version": 1, "format": "cascade", **payload}
        jobs.create_job(session, "export", project, asked, service.user_id)


@pytest.fixture
def trained(service: Service) -> int:
    project = service.make_project(120, collect=True)
    service.work()
    service.label(project, 20)
    service.work()
    return project


def bundle_of(service: Service, folder: Path) -> Path:
    """The last export, unpacked."""
    job = service.jobs("export")[-1]
    with zipfile.ZipFile(io.BytesIO(service.storage.get_bytes(exports.bundle_path(job)))) as bundle:
        bundle.extractall(folder)
    return folder


def test_a_cascade_is_exported_and_takes_the_encoder_that_the_operator_compressed(
    service: Service, trained: int, encoder: Compact, tmp_path: Path
) -> None:
    ask(service, trained, share=1)
    assert service.work() == ["succeeded"]
    [job] = service.jobs("export")
    assert job.result is not None
    assert job.result["filename"] == "student-mail-v1-cascade.zip"
    said = job.result["cascade"]
    assert said["passed_on"] == 1
    first = bundle_of(service, tmp_path / "first")
    assert json.loads((first / "manifest.json").read_text())["cascade"]["encoder_digest"] == encoder.digest
    assert json.loads((first / "manifest.json").read_text())["collect"] is True
    assert {path.name for path in first.iterdir()} >= {"collect.py", "novelty.json"}
    cascade = load(first)
    assert isinstance(cascade, Cascade)
    assert cascade.threshold == said["value"]
    assert {answer["source"] for answer in cascade.predict([text_of(n) for n in range(20)])} == {"teacher"}

    other = build_compact(tiny_weights(1), tiny_tokenizer(), "fp32")
    save_compact(tmp_path / "encoder", other)
    service.settings = service.settings.model_copy(update={"cascade_encoder": tmp_path / "encoder"})
    ask(service, trained)
    assert service.work() == ["succeeded"]
    second = bundle_of(service, tmp_path / "second")
    assert json.loads((second / "manifest.json").read_text())["cascade"]["encoder_digest"] == other.digest

    (tmp_path / "encoder" / "model.onnx").write_bytes(b"")
    ask(service, trained)
    assert service.work() == ["failed"]
    assert "digest" in str(service.jobs("export")[-1].error)
