"""A student of the service can be trained again, to the same weights, through its warm starts."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cli.errors import CommandError
from cli.main import app
from cli.reproduction import reproduce
from models.students import hashed
from tests.worker.conftest import Begun
from tests.worker.service import Service
from winnow import exports, jobs, rounds
from winnow.db.tables import Item, Project, Student


@pytest.fixture
def database_kind() -> str:
    """Files and arithmetic: one kind of database is enough."""
    return "sqlite"


@dataclass
class Trained:
    """A project whose second student set out from the first."""

    service: Service
    project: int
    folder: Path

    def export(self, format: str, version: int = 2) -> Path:
        with self.service.database.write() as session:
            payload = {"version": version, "format": format}
            jobs.create_job(session, "export", self.project, payload, self.service.user_id)
        assert self.service.work() == ["succeeded"]
        path = self.folder / f"{format}-{version}.zip"
        path.write_bytes(self.service.storage.get_bytes(exports.bundle_path(self.service.jobs("export")[-1])))
        return path


@pytest.fixture
def trained(service: Service, begun: Begun, tmp_path: Path) -> Trained:
    return Trained(service, begun(train_twice), tmp_path)


def train_twice(service: Service) -> int:
    project = service.make_project(150)
    service.work()
    for n in (40, 5):
        service.label(project, n)
        with service.database.write() as session:
            rounds.request_round(session, session.get_one(Project, project), forced=True)
        service.work()
    return project


def rewritten(path: Path, **changes: Any) -> Path:
    """A ZIP with fields of its manifest changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "manifest.json":
                data = json.dumps({**json.loads(data), **changes}).encode()
            new.writestr(name, data)
    copy = path.with_name(f"changed-{path.name}")
    copy.write_bytes(out.getvalue())
    return copy


def test_a_bundle_is_trained_again_to_the_same_weights_through_its_warm_start(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, data = trained.export("onnx-int8"), trained.export("training-data")
    with zipfile.ZipFile(bundle) as archive:
        told = json.loads(archive.read("manifest.json"))["training"]
    with zipfile.ZipFile(data) as archive:
        first, second = json.loads(archive.read("manifest.json"))["chain"]
    assert (first["start_sha256"], first["place"], second["place"]) == (None, 2, 1)
    assert second["start_sha256"] == first["weights_sha256"]
    assert (told["weights_sha256"], told["project_id"]) == (second["weights_sha256"], str(trained.project))
    outcome = reproduce(bundle, data)
    assert (outcome.same, outcome.chain, outcome.differences) == (True, [1, 2], [])
    assert outcome.found == outcome.expected == told["weights_sha256"]
    assert outcome.agreement is not None
    assert outcome.agreement >= 0.99
    assert "the same weights as the bundle's student, to the bit" in outcome.lines()
    assert reproduce(trained.export("onnx", 1), trained.export("training-data", 1)).chain == [1]

    monkeypatch.setattr(hashed, "_WORD_DROPOUT", 0.25)
    other = reproduce(bundle, data)
    assert not other.same
    assert other.differences[0].startswith("v1 became ")
    assert "neither versions nor processor" in other.differences[1]
    old = {"torch": "1.0"}
    changed = rewritten(data, chain=[{**first, "trained_with": {**first["trained_with"], **old}}, second])
    assert any(line.startswith("torch: 1.0 then, ") for line in reproduce(bundle, changed).differences)


def test_what_does_not_fit_together_is_refused(trained: Trained) -> None:
    bundle, data = trained.export("numpy"), trained.export("training-data")
    with pytest.raises(CommandError, match="student v1, which is another one"):
        reproduce(bundle, trained.export("training-data", 1))
    with pytest.raises(CommandError, match="no training data"):
        reproduce(bundle, bundle)
    with pytest.raises(CommandError, match="does not tell how it was trained"):
        reproduce(rewritten(bundle, training=None), data)
    with pytest.raises(CommandError, match=r"lesson-1\.safetensors is damaged"):
        reproduce(bundle, rewritten(data, sha256={"lesson-1.safetensors": "0" * 64}))
    cut = data.with_name("cut.zip")
    cut.write_bytes(data.read_bytes()[:-30])
    with pytest.raises(CommandError, match="cut off"):
        reproduce(bundle, cut)


def test_items_that_changed_since_and_students_without_lessons_are_told(trained: Trained) -> None:
    with trained.service.database.write() as session:
        session.execute(update(Item).where(Item.project_id == trained.project, Item.number == 3).values(text="changed"))
        jobs.create_job(session, "export", trained.project, {"version": 2, "format": "training-data"}, None)
    assert trained.service.work() == ["failed"]
    assert "changed or deleted" in error_of(trained)
    with trained.service.database.write() as session:
        first = session.get_one(Student, (trained.project, 1))
        first.recipe = {name: value for name, value in first.recipe.items() if name != "training"}
        jobs.create_job(session, "export", trained.project, {"version": 2, "format": "training-data"}, None)
    assert trained.service.work() == ["failed"]
    assert "not known any more" in error_of(trained)


def error_of(trained: Trained) -> str:
    error = trained.service.jobs("export")[-1].error
    assert error is not None
    return str(error["detail"])


def test_the_command_ends_with_0_or_1_and_says_it_as_json(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, data = trained.export("onnx", 1), trained.export("training-data", 1)
    command = ["reproduce", str(bundle), "--data", str(data), "--json"]
    capsys.readouterr()  # what the jobs said
    app(command, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["same"] is True
    monkeypatch.setattr(hashed, "_WORD_DROPOUT", 0.25)
    assert app(command, standalone_mode=False) == 1
    assert json.loads(capsys.readouterr().out)["same"] is False
