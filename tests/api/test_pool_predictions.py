"""Predictions of the whole pool over HTTP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import make_project
from tests.predictor.bundles import text_bundle, vector_bundle
from winnow import pool_predictions, registry
from winnow.attempt_files import put_folder
from winnow.db.session import Database
from winnow.db.tables import Project, Student
from winnow.storage import Storage

CLASSES = ["spam", "ham"]


def add_student(database: Database, storage: Storage, project: int, version: int, bundle: Path) -> None:
    path = f"projects/{project}/students/{version}-1"
    put_folder(storage, bundle, f"{path}/serving")
    with database.write() as session:
        student = Student(
            project_id=project, version=version, round=version, family="any", path=path, labels=2, metrics={}, recipe={}
        )
        registry.add_student(session, student, promoted=True)


@pytest.fixture
def at(
    owner: httpx.Client, database: Database, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A pool of nine: one with an imported label, one of the own test set, the others unlabelled. Two a page."""
    monkeypatch.setitem(pool_predictions.PAGES, "text", 2)
    project = int(str(make_project(owner, settings={"holdout": False})["id"]))
    rows: list[dict[str, Any]] = [
        {"text": text, "key": key} for key, text in zip("abcdefg", ["ham", "spam"] * 4, strict=False)
    ]
    rows[0]["key"] = "=1+1"
    rows += [{"text": "spam of a file", "label": "ham"}, {"text": "ham, tested", "label": "spam", "split": "test"}]
    assert owner.post(f"/projects/{project}/items", json={"items": rows}).json()["created"] == 9
    assert owner.get(f"/projects/{project}/predictions").status_code == 409
    add_student(database, storage, project, 1, text_bundle(tmp_path / "one", CLASSES))
    add_student(database, storage, project, 2, text_bundle(tmp_path / "two", CLASSES[::-1]))
    return f"/projects/{project}"


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_what_people_said_is_human_and_all_else_is_the_students(owner: httpx.Client, at: str) -> None:
    ids = [item["id"] for item in owner.get(f"{at}/items").json()["data"]]
    said = [{"item": ids[1], "label": "ham"}, {"item": ids[2], "flag": "odd"}, {"item": ids[3], "skip": True}]
    assert len(owner.post(f"{at}/labels", json={"labels": said}).json()["accepted"]) == 3
    answer = owner.get(f"{at}/predictions")
    assert (answer.headers["winnow-items"], answer.headers["winnow-version"]) == ("8", "2")
    rows = lines(answer)
    assert [row["item"] for row in rows] == ids[:8]  # the row of the test set is no part of the pool
    assert [row["label"] for row in rows] == ["ham", "ham", "ham", "spam", "ham", "spam", "ham", "ham"]
    assert [row["source"] for row in rows] == ["model", "human", *["model"] * 5, "human"]
    assert [row["version"] for row in rows] == [2, None, 2, 2, 2, 2, 2, None]
    assert all((row["confidence"] is None) == (row["source"] == "human") for row in rows)
    asked = owner.post(f"{at}/predictions", json={"items": [{"text": "ham"}]}).json()["predictions"][0]
    assert rows[0]["confidence"] == pytest.approx(asked["confidence"], abs=2e-6)


def test_another_version_is_asked_by_number(owner: httpx.Client, at: str) -> None:
    assert {row["version"] for row in lines(owner.get(f"{at}/predictions?version=1"))} == {1, None}
    for query, status in (("version=3", 404), ("version=0", 422), ("format=xml", 422), ("after=999999", 404)):
        assert owner.get(f"{at}/predictions?{query}").status_code == status


def test_a_stream_goes_on_behind_any_item(owner: httpx.Client, at: str) -> None:
    rows = lines(owner.get(f"{at}/predictions"))
    assert lines(owner.get(f"{at}/predictions", params={"after": rows[4]["item"]})) == rows[5:]
    assert lines(owner.get(f"{at}/predictions", params={"after": rows[-1]["item"]})) == []


def test_csv_runs_no_formula_unless_it_is_asked_for_as_it_is(owner: httpx.Client, at: str) -> None:
    def table(query: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(owner.get(f"{at}/predictions?format=csv{query}").text)))

    assert list(table("")[0]) == list(pool_predictions.COLUMNS)
    assert [table("")[0]["key"], table("&raw=true")[0]["key"]] == ["'=1+1", "=1+1"]
    assert len(table("")) == 8


def test_annotators_do_not_see_what_the_model_says_of_the_holdout(
    owner: httpx.Client, at: str, api: Callable[[str], httpx.Client], sign_up: Callable[[str, str], str]
) -> None:
    for role, status in (("annotator", 403), ("viewer", 200), ("manager", 200)):
        token = sign_up(f"{role}@example.org", "member")
        owner.post(f"{at}/members", json={"email": f"{role}@example.org", "role": role})
        assert api(token).get(f"{at}/predictions").status_code == status


def test_a_stream_ends_with_the_items_that_were_there_and_keeps_nobody_from_writing(
    owner: httpx.Client, at: str, database: Database
) -> None:
    with database.read() as session:
        before = session.get_one(Project, int(at.rpartition("/")[2]))
    pages = pool_predictions.pool_rows(database, before)
    first = next(pages)
    assert owner.post(f"{at}/items", json={"items": [{"text": "late"}]}).json()["created"] == 1
    rest = [row for page in pages for row in page]
    assert len(first) == 2
    assert len(first) + len(rest) == 8


def test_features_are_predicted_page_by_page(
    owner: httpx.Client, database: Database, storage: Storage, tmp_path: Path
) -> None:
    project = int(str(make_project(owner, task="features", settings={"holdout": False})["id"]))
    owner.post(f"/projects/{project}/items", json={"items": [{"features": [2, 1]}, {"features": [-3, 5]}]})
    add_student(database, storage, project, 1, vector_bundle(tmp_path / "one"))
    said = lines(owner.get(f"/projects/{project}/predictions"))
    asked = owner.post(
        f"/projects/{project}/predictions", json={"items": [{"features": [2, 1]}, {"features": [-3, 5]}]}
    ).json()["predictions"]
    assert [row["label"] for row in said] == [entry["label"] for entry in asked]
