"""Rounds, students, predictions, exports, jobs: the loop closes."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx

from tests.contract.conftest import make_project, texts, truth, wait_job, wait_until
from tests.contract.test_labeling import batch, send
from tests.contract.test_people import problem


def label(client: httpx.Client, project: str, n: int) -> None:
    done = 0
    while done < n:
        items = batch(client, project, min(20, n - done))
        rows = [{"item": i["id"], "label": truth(i), "lease": i["lease"]["id"]} for i in items]
        done += len(send(client, project, *rows)["accepted"])


def train(client: httpx.Client, project: str) -> dict[str, Any]:
    answer = client.post(f"/projects/{project}/rounds")
    assert answer.status_code == 202, answer.text
    assert answer.json()["kind"] == "round"
    job = wait_job(client, answer.json())
    assert job["state"] == "succeeded", job
    result: dict[str, Any] = job["result"]
    assert set(result) >= {"round", "state", "student", "promoted", "reason"}
    return result


def test_before_there_is_a_student(owner: httpx.Client) -> None:
    project = make_project(owner, 10)["id"]
    at = f"/projects/{project}"
    problem(owner.post(f"{at}/predictions", json={"items": [{"text": "x"}]}), 409)
    problem(owner.post(f"{at}/students/current/exports", json={"format": "onnx-int8"}), 409)
    assert owner.get(f"{at}/students").json() == {"data": [], "next": None}
    assert owner.get(f"{at}/rounds").json() == {"data": [], "next": None}
    assert owner.get(f"{at}/stats").json()["accuracy"] is None


def test_no_class_or_one_only_is_no_data(owner: httpx.Client) -> None:
    project = make_project(owner, 10)["id"]
    assert train(owner, project)["state"] == "no_data"
    for item in batch(owner, project, 2):
        send(owner, project, {"item": item["id"], "label": "spam"})
    result = train(owner, project)
    assert (result["state"], result["student"], result["promoted"]) == ("no_data", None, False)


def test_labels_of_drawn_items_carry_their_probability(owner: httpx.Client) -> None:
    project = make_project(owner, 80, settings={"strategy": "power_margin", "holdout": False, "batch_size": 500})["id"]
    label(owner, project, 20)
    assert train(owner, project)["state"] == "trained"
    label(owner, project, 20)
    rows = [json.loads(line) for line in owner.get(f"/projects/{project}/labels?format=jsonl").text.splitlines()]
    ranked = [row for row in rows if row["mechanism"] == "strategy" and row["round"] == 1]
    assert len(ranked) >= 15
    assert all(0.0 < row["probability"] <= 1.0 for row in ranked)
    assert len({row["probability"] for row in ranked}) == len(ranked), "each its own, by the model's doubt"


def test_the_loop(owner: httpx.Client, tmp_path: Path) -> None:
    project = make_project(owner, 300, settings={"holdout": "auto"})
    pid = project["id"]
    at = f"/projects/{pid}"
    label(owner, pid, 100)
    wait_until(lambda: owner.get(f"{at}/rounds").json()["data"], 120, "a round starts by itself")
    first = train(owner, pid)
    assert (first["state"], first["promoted"]) == ("trained", True)

    again = batch(owner, pid, 20)
    ranked = [i for i in again if i["score"] is not None]
    assert ranked
    assert all(i["prediction"] is None or set(i["prediction"]) >= {"label", "confidence"} for i in again)
    assert [i["score"] for i in ranked if i["reason"]], "ranked items say why"
    for item in again:
        send(owner, pid, {"item": item["id"], "label": truth(item), "lease": item["lease"]["id"]})

    rounds = owner.get(f"{at}/rounds").json()["data"]
    assert isinstance(rounds[0]["n"] if "n" in rounds[0] else rounds[0]["round"], int)
    students = owner.get(f"{at}/students").json()["data"]
    versions = [s["version"] for s in students]
    assert versions == sorted(versions, reverse=True)
    assert owner.get(f"{at}/students/{versions[0]}").status_code == 200
    assert owner.get(f"{at}/students/current").status_code == 200

    predicted = owner.post(f"{at}/predictions", json={"items": [{"text": text} for text, _ in texts(20)]}).json()
    assert set(predicted) == {"version", "predictions"}
    right = [p["label"] == wanted for p, (_, wanted) in zip(predicted["predictions"], texts(20), strict=True)]
    assert sum(right) >= 18
    for p in predicted["predictions"]:
        assert abs(sum(p["probabilities"].values()) - 1) < 1e-3
        assert p["confidence"] == max(p["probabilities"].values())
    problem(owner.post(f"{at}/predictions", json={"items": [{"features": [1]}]}), 422)
    problem(owner.post(f"{at}/predictions", json={"items": [{"text": "x"}], "version": 99999}), 404)

    folder = check_bundle(owner, pid, tmp_path)
    run = subprocess.run(
        [sys.executable, "-I", "predict.py", texts(2)[1][0]], cwd=folder, capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout)["label"] == "spam"
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t, _ in texts(5)))
    run = subprocess.run(
        [sys.executable, "-I", "predict.py", "--file", "in.jsonl"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [set(json.loads(line)) for line in run.stdout.splitlines()] == [{"label", "confidence", "probabilities"}] * 5

    stats = owner.get(f"{at}/stats").json()
    keys = {"items", "labeled", "skipped", "flagged", "remaining", "per_label", "per_annotator", "learning_curve"}
    assert keys | {"freshness", "accuracy", "agreement", "labels_saved", "ledger", "budget"} <= set(stats)
    assert stats["agreement"] is stats["labels_saved"] is stats["budget"] is None
    assert stats["learning_curve"]

    promoted = owner.post(f"{at}/students/{versions[-1]}/promote")
    assert promoted.status_code == 200
    assert owner.get(f"{at}/students/current").json()["version"] == versions[-1]
    problem(owner.post(f"{at}/students/99999/promote"), 404)


def check_bundle(owner: httpx.Client, project: str, tmp_path: Path) -> Path:
    answer = owner.post(f"/projects/{project}/students/current/exports", json={"format": "onnx-int8"})
    assert answer.status_code == 202
    job = wait_job(owner, answer.json())
    assert job["state"] == "succeeded", job
    url = job["result"]["download_url"]
    assert url.startswith("/")
    download = owner.get(str(owner.base_url.join(url)))
    assert download.status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(download.content))
    names = set(archive.namelist())
    assert {"model.onnx", "labels.json", "predict.py", "requirements.txt", "README.md", "manifest.json"} <= names
    manifest = json.loads(archive.read("manifest.json"))
    text = json.dumps(manifest)
    for name in names - {"manifest.json"}:
        assert hashlib.sha256(archive.read(name)).hexdigest() in text, name
    assert json.loads(archive.read("labels.json")) in (["spam", "ham"], {"labels": ["spam", "ham"]})
    folder = tmp_path / "bundle"
    archive.extractall(folder)
    return folder


def test_the_holdout_is_served_but_says_nothing(owner: httpx.Client) -> None:
    project = make_project(owner, 400)["id"]
    label(owner, project, 60)
    train(owner, project)
    items = batch(owner, project, 60)
    for item in items:
        send(owner, project, {"item": item["id"], "label": truth(item), "lease": item["lease"]["id"]})
    rows = [json.loads(line) for line in owner.get(f"/projects/{project}/labels").text.splitlines()]
    held = {row["item"] for row in rows if row["mechanism"] == "holdout"}
    assert 0.2 * 100 <= len([r for r in rows[:100] if r["mechanism"] == "holdout"]) <= 0.4 * 100
    for item in items:
        if item["id"] in held:
            assert (item["score"], item["reason"], item["prediction"]) == (None, None, None)


def test_a_queued_job_can_be_canceled_and_a_foreign_one_is_not_there(owner: httpx.Client) -> None:
    project = make_project(owner, 10)["id"]
    job = owner.post(f"/projects/{project}/rounds").json()
    assert owner.delete(f"/jobs/{job['id']}").status_code in (200, 202, 204, 409)
    assert wait_job(owner, job)["state"] in ("canceled", "succeeded")
    problem(owner.get("/jobs/123456789"), 404)
