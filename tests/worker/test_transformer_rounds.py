"""Rounds whose student is cut from the encoder: trained when it pays, exported, and run where nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from cli.errors import CommandError
from cli.reproduction import reproduce
from models.artifacts import load_student
from models.errors import BadInput
from models.trunks import load_trunk
from predictor import load
from tests.models.small_students import KINDS, text_student, texts
from tests.models.tiny_trunks import quick, save_encoder_folder, tiny_arrays, tiny_trunk
from tests.worker.service import Service, text_of
from tests.worker.test_round import Kept
from winnow import attempt_files, exports, jobs, registry, rounds
from winnow.hub_encoders import HubEntry
from winnow.projects import create_project
from winnow.users import Identity
from worker.project_encoder import hub_models
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import Checkpoints, NoCheckpoints, PreviousRound, RoundData, RoundResult

TEXTS, Y = texts(260, seed=7)
FEATURES = (np.eye(2, 8)[Y] + np.random.default_rng(0).normal(scale=0.2, size=(260, 8))).astype(np.float16)


def run(
    n: int,
    previous: PreviousRound | None = None,
    data: dict[str, Any] | None = None,
    checkpoints: Checkpoints | None = None,
    **recipe: Any,
) -> RoundResult:
    rows = np.arange(n)
    given: dict[str, Any] = {
        "task": "text",
        "class_names": KINDS,
        "features": FEATURES,
        "raw": lambda wanted: [TEXTS[row] for row in wanted],
        "labeled_rows": rows,
        "y": Y[rows],
        "exploration": rows % 2 == 0,
        "candidate_rows": np.arange(n, 200),
        "holdout_rows": np.arange(200, 260),
        "holdout_y": Y[200:],
        "trunk": tiny_trunk,
    }
    with quick():
        wanted = Recipe(student="transformer-1", queue_size=10, **recipe)
        rng = np.random.default_rng(0)
        return run_round(RoundData(**{**given, **(data or {})}), wanted, previous, rng, checkpoints or NoCheckpoints())


def after(result: RoundResult) -> PreviousRound:
    assert result.student is not None
    assert result.teacher is not None
    return PreviousRound(result.teacher.arrays(), result.student.arrays(), result.student.family, KINDS, **result.carry)


@pytest.fixture(scope="module")
def first() -> RoundResult:
    return run(40)


def test_the_student_is_cut_from_the_encoder_and_drawn_to_its_features(first: RoundResult) -> None:
    assert first.student is not None
    assert first.student.family == "transformer-1"
    assert first.metrics["distillation"]["matched"] is True
    assert first.metrics["distillation"]["cut_share"] == 0.0
    assert first.metrics["accuracy"]["value"] >= 0.9
    assert first.carry["trained_labels"] == 40


def test_until_labels_have_grown_by_a_quarter_it_stays_and_the_round_says_so(first: RoundResult) -> None:
    stays = run(49, after(first))
    assert stays.student is not None
    assert first.student is not None
    old, new = first.student.arrays(), stays.student.arrays()
    assert all(np.array_equal(old[name], new[name]) for name in old)
    assert stays.promoted
    assert stays.reason == (
        "the student stays as 40 labels made it and was only measured anew: training this family takes minutes, so it "
        "is trained again at 50 labels, or when a round is asked for"
    )
    assert stays.carry == first.carry
    assert stays.metrics["distillation"]["again_at"] == 50
    assert stays.metrics["transfer_rows"] == 0
    assert stays.metrics["agreement_rows"] >= 50
    assert len(stays.rows) == 10  # the teacher is new, and so is the ranking


def test_a_round_that_was_killed_keeps_the_student_all_the_same(first: RoundResult) -> None:
    kept = Kept(lose_after="student")
    with pytest.raises(InterruptedError):
        run(49, after(first), checkpoints=kept)
    kept.lose_after = None
    again = run(49, after(first), checkpoints=kept)
    assert again.metrics["distillation"]["kept"] is True
    assert again.carry == first.carry
    assert again.lesson is not None
    assert again.lesson() is None


def test_at_a_quarter_more_or_when_somebody_asks_it_is_trained_again(first: RoundResult) -> None:
    for trained in (run(50, after(first)), run(41, after(first), forced=True)):
        assert "kept" not in trained.metrics["distillation"]
        assert trained.metrics["cold"] is False
        assert trained.carry["rounds_since_cold"] == 1
        assert trained.carry["trained_labels"] == trained.metrics["labels"]
        assert trained.carry["cold_labels"] == 40


def test_a_student_of_another_family_does_not_stay(first: RoundResult) -> None:
    other = replace(after(first), student=text_student().arrays(), student_family="hashed")
    assert run(41, other).metrics["cold"] is True


def test_without_a_trunk_the_round_says_what_is_missing() -> None:
    with pytest.raises(BadInput, match="its trunk must be handed in"):
        run(40, data={"trunk": None})


# --- in the service ---------------------------------------------------------------------------------------------------


@pytest.fixture
def database_kind() -> str:
    """Training and files: one kind of database is enough."""
    return "sqlite"


@pytest.fixture
def project(service: Service, tmp_path: Path) -> tuple[Service, int]:
    entries = {"tiny": HubEntry(source=str(save_encoder_folder(tmp_path / "tiny")))}
    service = replace(service, settings=service.settings.model_copy(update={"hf_encoders": entries}))
    identity = Identity(service.user_id, "owner@example.org", "owner", 1, False)
    settings = {"encoder": "hf:tiny", "student": "transformer-1", "batch_size": 20}
    with service.database.write() as session:
        made = create_project(
            session, identity, name="mail", task="text", labels=["spam", "ham"], settings=settings, hub=entries
        )
        project_id = made.id
    service.add_rows(project_id, [{"text": text_of(n)} for n in range(120)])
    return service, project_id


def test_from_the_setting_to_a_bundle_that_runs_by_itself(project: tuple[Service, int], tmp_path: Path) -> None:
    service, project_id = project
    with quick():
        service.work()
        service.label(project_id, 30)
        assert set(service.work()) == {"succeeded"}
    with service.database.read() as session:
        assert registry.current_version(session, project_id) == 1
        student = registry.get_student(session, project_id, 1)
    assert student.family == "transformer-1"
    served = unpacked_serving(service, student.path, tmp_path / "serving")
    items = [text_of(n) for n in range(300, 330)]
    answers = load(served).predict(items)
    with attempt_files.local_folder(service.storage, registry.training_path(student)) as folder:
        expected = load_student(folder).predict_proba(items)
    found = [[answer["probabilities"][name] for name in ("spam", "ham")] for answer in answers]
    assert np.array(found) == pytest.approx(expected, abs=1e-4)
    bundle = exported(service, project_id, tmp_path / "bundle")
    assert {path.name for path in bundle.iterdir()} == {
        "model.onnx", "tokenizer.json", "preprocess.json", "labels.json", "predict.py", "requirements.txt", "README.md",
        "manifest.json", "report.json",
    }  # fmt: skip
    training = json.loads((bundle / "manifest.json").read_text())["training"]
    trunk = load_trunk("hf:tiny", hub_models(service.settings))
    assert (training["trunk_sha256"], training["encoder"]["name"]) == (trunk.sha256(), "hf:tiny")
    assert f"tokenizers=={version('tokenizers')}" in (bundle / "requirements.txt").read_text()
    assert "0.0% of those that it learned from were" in (bundle / "README.md").read_text()
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": item}) for item in items) + "\n")
    done = subprocess.run(
        [sys.executable, "-I", str(bundle / "predict.py"), "--file", str(tmp_path / "in.jsonl")],
        capture_output=True, text=True, check=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    alone = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    assert np.mean(np.array(alone) == [answer["label"] for answer in answers]) >= 0.95


def test_one_that_was_kept_is_trained_again_to_the_same_weights_from_the_same_encoder(
    project: tuple[Service, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, project_id = project
    with quick():
        service.work()
        for labels in (90, 20):  # the second round keeps the student of the first
            service.label(project_id, labels)
            assert set(service.work()) == {"succeeded"}
    bundle = exported(service, project_id, tmp_path / "bundle", version=2)
    data = archived(service, project_id, "training-data", version=2, to=tmp_path / "training.zip")
    monkeypatch.delenv("WINNOW_HF_ENCODERS", raising=False)
    with pytest.raises(CommandError, match="cut from the encoder hf:tiny, which is needed again"):
        reproduce(bundle, data)
    other = save_encoder_folder(tmp_path / "other")
    save_file(tiny_arrays(1), other / "model.safetensors")
    monkeypatch.setenv("WINNOW_HF_ENCODERS", json.dumps({"tiny": str(other)}))
    with pytest.raises(CommandError, match="cut from the encoder hf:tiny, and here that is another one"):
        reproduce(bundle, data)
    monkeypatch.setenv("WINNOW_HF_ENCODERS", json.dumps({"tiny": str(tmp_path / "tiny")}))
    with quick():
        outcome = reproduce(bundle, data)
    assert (outcome.same, outcome.chain, outcome.differences) == (True, [2], [])
    assert outcome.agreement is not None
    assert outcome.agreement >= 0.95


def test_what_else_it_could_be_exported_as_says_why_it_cannot(project: tuple[Service, int]) -> None:
    service, project_id = project
    with quick():
        service.work()
        service.label(project_id, 30)
        service.work()
    with service.database.write() as session:
        jobs.create_job(session, "export", project_id, {"version": 1, "format": "numpy"}, None)
    assert service.work() == ["failed"]
    error = service.jobs("export")[-1].error
    assert error is not None
    assert error["detail"] == (
        "Students of the family 'transformer-1' cannot be exported as numpy; use onnx-int8 or onnx."
    )


def unpacked_serving(service: Service, path: str, folder: Path) -> Path:
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json", "preprocess.json", "labels.json", "manifest.json"):
        (folder / name).write_bytes(service.storage.get_bytes(f"{path}/serving/{name}"))
    return folder


def exported(service: Service, project_id: int, folder: Path, version: int = 1) -> Path:
    with zipfile.ZipFile(archived(service, project_id, "onnx-int8", version, folder.with_suffix(".zip"))) as archive:
        archive.extractall(folder)
    return folder


def archived(service: Service, project_id: int, format: str, version: int, to: Path) -> Path:
    with service.database.write() as session:
        payload = {"version": version, "format": format}
        jobs.create_job(session, "export", project_id, payload, service.user_id)
    assert service.work() == ["succeeded"]
    to.write_bytes(service.storage.get_bytes(exports.bundle_path(service.jobs("export")[-1])))
    return to


def test_a_round_by_itself_keeps_the_student_and_one_that_is_asked_for_trains_it(project: tuple[Service, int]) -> None:
    service, project_id = project
    with quick():
        service.work()
        service.label(project_id, 90)
        service.work()
        service.label(project_id, 20)
        assert set(service.work()) == {"succeeded"}
        with service.database.write() as session:
            rounds.request_round(session, service.project(project_id), forced=True)
        assert set(service.work()) == {"succeeded"}
    with service.database.read() as session:
        found = [registry.get_student(session, project_id, n).metrics["distillation"] for n in (1, 2, 3)]
        assert registry.current_version(session, project_id) == 3
    assert [bool(report.get("kept")) for report in found] == [False, True, False]
