"""Predictions that cannot be made: which item, or which student, is at fault."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictor import ItemError, Predictor
from tests.api.conftest import make_project
from tests.predictor.bundles import image_bundle, png, text_bundle, vector_bundle
from winnow import registry
from winnow.attempt_files import put_folder
from winnow.db.session import Database
from winnow.db.tables import Student
from winnow.storage import Storage

PROBLEM = "application/problem+json"
Serve = Callable[[str, Callable[[Path], Path]], str]


@pytest.fixture
def serve(owner: httpx.Client, database: Database, storage: Storage, tmp_path: Path) -> Serve:
    """``serve(task, make_bundle)`` makes a project whose only student is that bundle; gives its predictions' path."""

    def make(task: str, make_bundle: Callable[[Path], Path]) -> str:
        project = int(str(make_project(owner, task=task)["id"]))
        path = f"projects/{project}/students/1-1"
        put_folder(storage, make_bundle(tmp_path / "made"), f"{path}/serving")
        with database.write() as session:
            student = Student(
                project_id=project, version=1, round=1, family="any", path=path, labels=2, metrics={}, recipe={}
            )
            registry.add_student(session, student, promoted=True)
        return f"/projects/{project}/predictions"

    return make


def image(level: int) -> dict[str, str]:
    return {"image": base64.b64encode(png(level)).decode()}


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    return body


def test_images_and_features_are_predicted(owner: httpx.Client, serve: Serve) -> None:
    answer = owner.post(serve("image", image_bundle), json={"items": [image(20), image(230)]})
    assert [p["label"] for p in answer.json()["predictions"]] == ["dark", "light"]


def test_an_item_that_the_student_cannot_read_is_named_by_its_place(owner: httpx.Client, serve: Serve) -> None:
    # The project has no items yet, and so no number of features that could be checked before: the student has two.
    at = serve("features", vector_bundle)
    assert owner.post(at, json={"items": [{"features": [2, 1]}]}).json()["predictions"][0]["label"] == "x"
    body = problem(owner.post(at, json={"items": [{"features": [2, 1]}, {"features": [1, 2, 3]}]}), 422)
    assert body["errors"] == [
        {"loc": ["body", "items", 1], "msg": "2 numbers are needed, got an array of shape (3,)"},
    ]
    assert body["detail"].startswith("items[1]: ")


def test_an_image_that_only_the_student_stumbles_over_is_named(
    owner: httpx.Client, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ItemError(2, "not a readable image (cut off)")

    at = serve("image", image_bundle)
    monkeypatch.setattr(Predictor, "predict", stumble)
    body = problem(owner.post(at, json={"items": [image(1)] * 3}), 422)
    assert body["errors"] == [{"loc": ["body", "items", 2], "msg": "not a readable image (cut off)"}]


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "manifest.json", "preprocess.json"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_student_whose_files_are_damaged_is_not_available_and_the_log_says_why(
    name: str, damage: str, owner: httpx.Client, serve: Serve, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    at = serve("text", text_bundle)
    path = f"{at.removeprefix('/').removesuffix('/predictions')}/students/1-1/serving/{name}"
    whole = storage.get_bytes(path)
    storage.delete(path)
    if damage == "cut":
        storage.put_bytes(whole[: len(whole) // 2], path)
    with caplog.at_level(logging.ERROR, "api.predictors"):
        body = problem(owner.post(at, json={"items": [{"text": "cat"}]}), 503)
    assert "missing or damaged" in body["detail"]
    assert storage.url not in body["detail"]
    assert name in caplog.text
    storage.put_bytes(whole, path)
    assert owner.post(at, json={"items": [{"text": "cat"}]}).json()["predictions"][0]["label"] == "cat"


def test_a_student_whose_folder_is_gone_is_not_available(owner: httpx.Client, serve: Serve, storage: Storage) -> None:
    at = serve("text", text_bundle)
    storage.delete(f"{at.removeprefix('/').removesuffix('/predictions')}/students/1-1")
    problem(owner.post(at, json={"items": []}), 503)
