"""Labelling the rest over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import make_project
from tests.api.test_pool_predictions import CLASSES, add_student
from tests.predictor.bundles import text_bundle
from tests.worker.service import Service
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture
def service(owner: httpx.Client, settings: Settings, database: Database, storage: Storage) -> Service:
    return Service(settings, database, storage, int(owner.get("/me").json()["id"]))


@pytest.fixture
def at(owner: httpx.Client, service: Service, tmp_path: Path) -> str:
    """Eighty rows of the own test set, which the student gets right, and thirty items."""
    project = int(str(make_project(owner)["id"]))
    rows = [{"text": f"{CLASSES[n % 2]} t{n}", "label": CLASSES[n % 2], "split": "test"} for n in range(80)]
    owner.post(f"/projects/{project}/items", json={"items": [*rows, *({"text": f"ham {n}x"} for n in range(30))]})
    assert owner.post(f"/projects/{project}/label-rest", json={}).status_code == 409  # no student yet
    add_student(service.database, service.storage, project, 1, text_bundle(tmp_path / "one", CLASSES))
    for job in service.jobs("encode"):
        owner.delete(f"/jobs/{job.id}")
    return f"/projects/{project}"


def test_first_what_would_be_then_the_labels_then_none_again(owner: httpx.Client, service: Service, at: str) -> None:
    asked = owner.post(f"{at}/label-rest", json={})
    assert (asked.status_code, asked.json()["kind"]) == (202, "label-rest")
    assert owner.post(f"{at}/label-rest", json={}).json()["id"] == asked.json()["id"]
    assert owner.post(f"{at}/label-rest", json={"alpha": 0.1}).status_code == 409
    service.work()
    result = owner.get(f"/jobs/{asked.json()['id']}").json()["result"]
    assert (result["accepted"], result["coverage"], result["dry_run"]) == (30, 1.0, True)
    assert owner.get(f"{at}/stats").json()["model_labels"] == 0
    assert owner.delete(f"{at}/label-rest/{asked.json()['id']}").status_code == 409

    run = owner.post(f"{at}/label-rest", json={"dry_run": False}).json()["id"]
    service.work()
    assert owner.get(f"{at}/stats").json()["model_labels"] == 30
    item = owner.get(f"{at}/items", params={"status": "unlabeled", "limit": 1}).json()["data"][0]
    assert [(label["source"], label["label"]) for label in item["labels"]] == [("model", "ham")]
    page = owner.get(f"{at}/label-rest", params={"limit": 1}).json()
    assert [(entry["id"], entry["standing"]) for entry in page["data"]] == [(run, 30)]
    older = owner.get(f"{at}/label-rest", params={"cursor": page["next"]}).json()
    assert [(entry["dry_run"], entry["standing"]) for entry in older["data"]] == [(True, 0)]

    undone = owner.delete(f"{at}/label-rest/{run}")
    assert (undone.status_code, undone.json()["kind"]) == (202, "label-undo")
    service.work()
    assert owner.get(f"/jobs/{undone.json()['id']}").json()["result"] == {"run": run, "removed": 30}
    assert owner.get(f"{at}/stats").json()["model_labels"] == 0


@pytest.mark.parametrize("body", [{"alpha": 0}, {"alpha": 1}, {"confidence": 1}, {"dry_run": "?"}, {"threshold": 0.5}])
def test_bad_input_is_refused(owner: httpx.Client, at: str, body: dict[str, object]) -> None:
    assert owner.post(f"{at}/label-rest", json=body).status_code == 422
    for run in ("x", "999999"):
        assert owner.delete(f"{at}/label-rest/{run}").status_code == 404


def test_managers_label_the_rest_and_viewers_see_it(
    owner: httpx.Client, at: str, api: Callable[[str], httpx.Client], sign_up: Callable[[str, str], str]
) -> None:
    for role, wanted in (("annotator", [403, 403, 403]), ("viewer", [403, 200, 403]), ("manager", [202, 200, 404])):
        who = api(sign_up(f"{role}@example.org", "member"))
        owner.post(f"{at}/members", json={"email": f"{role}@example.org", "role": role})
        answers = (
            who.post(f"{at}/label-rest", json={}),
            who.get(f"{at}/label-rest"),
            who.delete(f"{at}/label-rest/99999"),
        )
        assert [answer.status_code for answer in answers] == wanted
