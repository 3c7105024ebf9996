"""The loop against a running server: project, import, people who label, rounds, export."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.annotators import Crew, percentile, sign_in, wait_job, wait_round
from bench.server import RunningServer
from cli.demonstration.digits import CLASSES, Digits
from cli.errors import CommandError

LABELS_A_ROUND = 20
ANNOTATORS = 3

#: Called with the share of the work that is done, and what is going on.
OnStep = Callable[[float, str], None]


@dataclass(frozen=True)
class Loop:
    """What the service did: each round as it reports it, its statistics, labels as exported, and the bundle's file."""

    start_seconds: float
    import_seconds: float
    rounds: list[dict[str, Any]]
    stats: dict[str, Any]
    labels: list[dict[str, Any]]
    bundle: bytes
    bundle_name: str
    next_p50_ms: float


def run_loop(digits: Digits, rounds: int, step: OnStep) -> Loop:
    """Run ``rounds`` rounds of ``LABELS_A_ROUND`` labels and export the student.

    Raises:
        CommandError: the service refused something, or did not do what it should.
    """
    step(0.0, "starting a server in a temporary folder")
    with RunningServer() as server, sign_in(server.url, server.email, server.password) as owner:
        project = _make_project(owner)
        step(0.1, f"importing {len(digits.pool) + len(digits.test)} images over HTTP")
        began = time.perf_counter()
        _import(owner, project, digits)
        import_seconds = time.perf_counter() - began
        crew = Crew(server.url, owner, project, lambda item: digits.class_of(str(item["key"])))
        crew.hire(ANNOTATORS)
        done = []
        for n in range(1, rounds + 1):
            step(0.2 + 0.6 * (n - 1) / rounds, f"round {n} of {rounds}: {ANNOTATORS} annotators label over HTTP")
            _label(crew)
            step(0.2 + 0.6 * (n - 0.5) / rounds, f"round {n} of {rounds}: the worker trains")
            done.append(wait_round(owner, project, n, 180))
        crew.close()
        step(0.85, "exporting the student")
        bundle, name = _export(owner, project)
        return Loop(
            server.start_seconds,
            import_seconds,
            done,
            owner.get(f"/v1/projects/{project}/stats").raise_for_status().json(),
            _labels(owner, project),
            bundle,
            name,
            1e3 * percentile(crew.next_seconds, 0.5),
        )


def _make_project(owner: httpx.Client) -> str:
    body = {
        "name": "digits",
        "task": "image",
        "labels": CLASSES,
        "settings": {"batch_size": LABELS_A_ROUND},
    }
    return str(owner.post("/v1/projects", json=body).raise_for_status().json()["id"])


def _import(owner: httpx.Client, project: str, digits: Digits) -> None:
    file = ("digits.jsonl", digits.as_jsonl(), "application/x-ndjson")
    job = owner.post(f"/v1/projects/{project}/imports", files={"file": file}).raise_for_status().json()
    job = wait_job(owner, job, 180)
    wanted = len(digits.pool) + len(digits.test)
    if job["state"] != "succeeded" or job["result"]["created"] + job["result"]["duplicates"] != wanted:
        raise CommandError(f"the import did not go as it should: {json.dumps(job)}")


def _label(crew: Crew) -> None:
    labelled = crew.label(LABELS_A_ROUND, size=5)
    if crew.errors or labelled != LABELS_A_ROUND:
        raise CommandError(f"{labelled} of {LABELS_A_ROUND} labels were taken: {'; '.join(crew.errors[:3])}")


def _export(owner: httpx.Client, project: str) -> tuple[bytes, str]:
    asked = owner.post(f"/v1/projects/{project}/students/current/exports", json={"format": "onnx-int8"})
    job = wait_job(owner, asked.raise_for_status().json(), 300)
    if job["state"] != "succeeded":
        raise CommandError(f"the export failed: {(job['error'] or {}).get('detail', job['state'])}")
    address = job["result"]["download_url"]
    bundle = owner.get(address if address.startswith("/") else f"/v1/{address}").raise_for_status()
    disposition = bundle.headers.get("content-disposition", "")
    name = disposition.partition('filename="')[2].partition('"')[0] or "student.zip"
    return bundle.content, Path(name).name


def _labels(owner: httpx.Client, project: str) -> list[dict[str, Any]]:
    answer = owner.get(f"/v1/projects/{project}/labels", params={"format": "jsonl"}).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines() if line]
