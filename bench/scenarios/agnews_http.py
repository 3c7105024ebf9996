"""AG News over HTTP, by a program that knows the contract and nothing else.

Import with the texts' own test set, ten rounds of twenty labels by four annotators who wait for each round, export.
Then the bundle beside its teacher: accuracy on the 2,000 test texts, and speed beside MiniLM and head in torch.
"""

from __future__ import annotations

import importlib.util
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench.annotators import Crew, percentile, sign_in, wait_job, wait_round
from bench.encode import TorchMiniLM
from bench.scenarios.story import data_file, finish, parser, say
from bench.server import RunningServer

ROUNDS, LABELS_A_ROUND, ANNOTATORS = 10, 20, 4
_TORCH_TEXTS = 500
_REPEATS = 3


def main() -> None:
    """Run it against a server of its own."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    pool, test = _rows("agnews.train.jsonl"), _rows("agnews.test.jsonl")
    with RunningServer() as server, sign_in(server.url, server.email, server.password) as owner:
        result, bundle = _loop(server.url, owner, pool, test, given.rounds)
    result |= _measure(bundle, test)
    teacher = result["teacher_accuracy"]
    demands = {
        "the bundle is within 2 points of its teacher": result["bundle_accuracy"] >= teacher - 0.02,
        "the bundle is at least 50 times as fast": result["times_torch"] >= 50,
        "the bundle is under 5 MB": result["bundle_bytes"] < 5_000_000,
        "the first item came within 5 s of the upload": result["first_item_seconds"] <= 5,
    }
    finish(result, given.json, demands)


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in data_file(name).read_text(encoding="utf-8").splitlines()]


def _loop(
    url: str, owner: httpx.Client, pool: list[dict[str, str]], test: list[dict[str, str]], rounds: int
) -> tuple[dict[str, Any], bytes]:
    classes = sorted({row["label"] for row in pool})
    body = {
        "name": "agnews",
        "task": "text",
        "labels": classes,
        "settings": {"batch_size": LABELS_A_ROUND, "encoder": "minilm"},
    }
    project = str(owner.post("/v1/projects", json=body).raise_for_status().json()["id"])
    timings = _import(owner, project, pool, test)
    crew = Crew(url, owner, project, lambda item: pool[int(str(item["key"])[1:])]["label"])
    crew.hire(ANNOTATORS)
    done = []
    for n in range(1, rounds + 1):
        labelled = crew.label(LABELS_A_ROUND, size=5)
        if labelled != LABELS_A_ROUND:
            raise RuntimeError(f"{labelled} labels were accepted in round {n}: {crew.errors[:3]}")
        done.append(wait_round(owner, project, n, 300))
        say(f"round {n}: {labelled * n} labels, {done[-1]['seconds']:.1f} s")
    crew.close()
    curve = owner.get(f"/v1/projects/{project}/stats").raise_for_status().json()["learning_curve"]
    asked = owner.post(f"/v1/projects/{project}/students/current/exports", json={"format": "onnx-int8"})
    job = wait_job(owner, asked.raise_for_status().json())
    if job["state"] != "succeeded":
        raise RuntimeError(f"the export failed: {job['error']}")
    bundle = owner.get(job["result"]["download_url"]).raise_for_status().content
    return {
        **timings,
        "rounds": len(done),
        "labels": LABELS_A_ROUND * len(done),
        "errors": len(crew.errors),
        "round_seconds_p50": percentile([float(row["seconds"]) for row in done], 0.5),
        "next_p95_ms": 1e3 * percentile(crew.next_seconds, 0.95),
        "teacher_accuracy": curve[-1]["teacher_accuracy"]["value"],
        "student_accuracy": curve[-1]["accuracy"]["value"],
        "bundle_bytes": len(bundle),
    }, bundle


def _import(
    owner: httpx.Client, project: str, pool: list[dict[str, str]], test: list[dict[str, str]]
) -> dict[str, float]:
    rows = [{"key": f"p{n}", "text": row["text"]} for n, row in enumerate(pool)]
    rows += [{"key": f"t{n}", **row, "split": "test"} for n, row in enumerate(test)]
    file = "".join(json.dumps(row) + "\n" for row in rows).encode()
    began = time.perf_counter()
    upload = {"file": ("agnews.jsonl", io.BytesIO(file), "application/x-ndjson")}
    job = owner.post(f"/v1/projects/{project}/imports", files=upload).raise_for_status().json()
    while not (items := _claim(owner, project)):
        time.sleep(0.02)
    first = time.perf_counter() - began
    for item in items:
        owner.delete(f"/v1/projects/{project}/leases/{item['lease']['id']}").raise_for_status()
    job = wait_job(owner, job)
    imported = time.perf_counter()
    if job["state"] != "succeeded" or job["result"]["rejected"]:
        raise RuntimeError(f"the import failed: {job}")
    say(f"imported {len(rows)} texts; first item after {first:.2f} s")
    while (encoded := _freshness(owner, project)["encoded"]) < job["result"]["created"]:
        time.sleep(0.1)
    return {
        "first_item_seconds": first,
        "import_seconds": imported - began,
        "encode_texts_per_second": encoded / (time.perf_counter() - imported),
    }


def _claim(owner: httpx.Client, project: str) -> list[dict[str, Any]]:
    answer = owner.post(f"/v1/projects/{project}/batches", json={"size": 1}).raise_for_status().json()
    items: list[dict[str, Any]] = answer["items"]
    return items


def _freshness(owner: httpx.Client, project: str) -> dict[str, Any]:
    found: dict[str, Any] = owner.get(f"/v1/projects/{project}/stats").raise_for_status().json()["freshness"]
    return found


def _measure(bundle: bytes, test: list[dict[str, str]]) -> dict[str, Any]:
    """The bundle by its own ``predict.py``; its teacher's network with a head of the same shape; one thread each."""
    texts = [row["text"] for row in test]
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            archive.extractall(folder)
        classes = json.loads((Path(folder) / "labels.json").read_text())
        student = _load_predict(Path(folder)).load(folder)
        answers = student.predict(texts)
        seconds = min(_timed(lambda: student.predict(texts)) for _ in range(_REPEATS))
    right = [answer["label"] == row["label"] for answer, row in zip(answers, test, strict=True)]
    network = TorchMiniLM()
    head = np.random.default_rng(0).standard_normal((384, len(classes))).astype(np.float32)
    network.encode(texts[:32])
    torch_seconds = _timed(lambda: np.argmax(network.encode(texts[:_TORCH_TEXTS]) @ head, axis=1))
    return {
        "bundle_accuracy": float(np.mean(right)),
        "bundle_texts_per_second": len(texts) / seconds,
        "torch_texts_per_second": _TORCH_TEXTS / torch_seconds,
        "times_torch": (len(texts) / seconds) / (_TORCH_TEXTS / torch_seconds),
    }


def _load_predict(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("bundle_predict", folder / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _timed(run: Any) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
