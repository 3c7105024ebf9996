"""kill -9 at random moments: of the worker during rounds and imports, of the API while people label.

Nothing that was acknowledged may be lost, every job ends with one result, and it says how long it takes to go on.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import psutil

from bench.annotators import percentile, sign_in
from bench.scenarios.story import finish, parser, say
from bench.server import RunningServer

CLASSES = ["even", "odd"]
_ENDED = ("succeeded", "failed", "canceled")
_JOB_SECONDS = 180.0
_POLL_SECONDS = 0.01


def main() -> None:
    """Run the three parts against one server each."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=20, help="kills of each kind")
    options.add_argument("--rows", type=int, default=2_000, help="rows of each import, and texts of the pool")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    rng = np.random.default_rng(given.seed)
    rows: list[dict[str, Any]] = []
    for name in ("rounds", "imports", "labeling"):
        with RunningServer() as server, sign_in(server.url, server.email, server.password) as owner:
            if name == "labeling":
                found = _kill_api(owner, server, given.kills, rng)
            else:
                work = Rounds(owner, given.rows) if name == "rounds" else Imports(owner, given.rows)
                found = _kill_worker(owner, server, given.kills, rng, work)
            rows.append({"killed during": name, **found})
            say(json.dumps(rows[-1]))
    demands = {
        "each kill hit work that was going on": all(row["hit"] == given.kills for row in rows),
        "no acknowledged label is lost": all(row["lost"] == 0 for row in rows),
        "every job ended, with one result": all(row["wrong"] == 0 for row in rows),
    }
    finish({"kills": given.kills, "parts": rows}, given.json, demands)


class Rounds:
    """Rounds that train on a labelled pool. ``start`` asks for one, ``wrong`` says what is wrong after it."""

    def __init__(self, owner: httpx.Client, rows: int) -> None:
        self._owner = owner
        self._project = _project(owner, "rounds")
        _add(owner, self._project, [{"text": _text(n), **_label(n, n < 200)} for n in range(rows)])
        self._expected = 0

    def start(self) -> dict[str, Any]:
        """Ask for a round; gives the job."""
        self._expected += 1
        return _json(self._owner.post(f"/v1/projects/{self._project}/rounds"))

    def wrong(self, job: dict[str, Any]) -> str | None:
        """A round that did not succeed, or is there twice or not at all."""
        if job["state"] != "succeeded" or job["result"]["state"] != "trained":
            return f"{job['state']}: {job['error'] or job['result']}"
        rounds = _json(self._owner.get(f"/v1/projects/{self._project}/rounds", params={"limit": 100}))["data"]
        students = _json(self._owner.get(f"/v1/projects/{self._project}/students", params={"limit": 100}))["data"]
        if len(rounds) != self._expected or len({row["n"] for row in rounds}) != len(rounds):
            return f"{len(rounds)} rounds are there, {self._expected} were asked for"
        return None if len(students) == self._expected else f"{len(students)} students of {self._expected} rounds"


class Imports:
    """Imports of a file into a project of its own each."""

    def __init__(self, owner: httpx.Client, rows: int) -> None:
        self._owner = owner
        self._rows = rows * 10
        self._project = ""

    def start(self) -> dict[str, Any]:
        """Upload a file; gives the job."""
        self._project = _project(self._owner, "imports")
        file = "".join(json.dumps({"text": _text(n), **_label(n, n % 3 == 0)}) + "\n" for n in range(self._rows))
        upload = {"file": ("rows.jsonl", file.encode(), "application/x-ndjson")}
        return _json(self._owner.post(f"/v1/projects/{self._project}/imports", files=upload))

    def wrong(self, job: dict[str, Any]) -> str | None:
        """An import that did not succeed, or whose items are not each there once."""
        if job["state"] != "succeeded":
            return f"{job['state']}: {job['error']}"
        stats = _json(self._owner.get(f"/v1/projects/{self._project}/stats"))
        name = _json(self._owner.get(f"/v1/projects/{self._project}"))["name"]
        done_with = {"confirm": name, "purge": "true"}  # its encoding and first ranking would stand before the next one
        self._owner.delete(f"/v1/projects/{self._project}", params=done_with).raise_for_status()
        found = (job["result"]["created"], stats["items"], stats["labeled"])
        wanted = (self._rows, self._rows, -(-self._rows // 3))
        return None if found == wanted else f"created, there, labelled: {found}, not {wanted}"


def _kill_worker(
    owner: httpx.Client, server: RunningServer, kills: int, rng: np.random.Generator, work: Rounds | Imports
) -> dict[str, Any]:
    """Start work, kill the worker (each third time only the process that does the work) somewhere in it, and wait."""
    undisturbed = usual = _seconds_of(owner, work)
    wrong: list[str] = []
    recover: list[float] = []
    ends: list[float] = []
    jobs = 0
    while len(recover) < kills and jobs < 5 * kills:
        jobs += 1
        job = work.start()
        began = time.perf_counter()
        moment = began + float(rng.uniform(0.0, usual))
        before = _wait(owner, job, lambda now, moment=moment: time.perf_counter() >= moment)  # type: ignore[misc]
        if before["state"] in _ENDED:  # it was faster than usual: no kill, another try
            usual = time.perf_counter() - began
        else:
            worker = server.part("worker")
            victims = _living_children(worker) if len(recover) % 3 == 2 else []
            with suppress(psutil.NoSuchProcess):
                (victims or [worker])[0].kill()
            killed = time.perf_counter()
            _wait(owner, job, lambda now, before=before: now["attempt"] > before["attempt"])  # type: ignore[misc]
            recover.append(time.perf_counter() - killed)
            job = _wait(owner, job, lambda now: False)
            ends.append(time.perf_counter() - killed)
        if (problem := work.wrong(_wait(owner, job, lambda now: False))) is not None:
            wrong.append(problem)
            say(f"job {jobs}: {problem}")
    return {
        "jobs": jobs,
        "hit": len(recover),
        "lost": 0,
        "wrong": len(wrong),
        "goes_on_p50_s": percentile(recover, 0.5),
        "goes_on_max_s": max(recover, default=0.0),
        "ends_p50_s": percentile(ends, 0.5),
        "undisturbed_s": undisturbed,
    }


def _living_children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return []


def _seconds_of(owner: httpx.Client, work: Rounds | Imports) -> float:
    """How long the work takes when nobody disturbs it (the second time: the first warms up)."""
    for _ in range(2):
        began = time.perf_counter()
        job = _wait(owner, work.start(), lambda now: False)
        seconds = time.perf_counter() - began
        if (problem := work.wrong(job)) is not None:
            raise RuntimeError(f"undisturbed, it already goes wrong: {problem}")
    return seconds


def _wait(owner: httpx.Client, job: dict[str, Any], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + _JOB_SECONDS
    while time.monotonic() < deadline:
        job = _json(owner.get(f"/v1/jobs/{job['id']}"))
        if job["state"] in _ENDED or until(job):
            return job
        time.sleep(_POLL_SECONDS)
    return job


def _kill_api(owner: httpx.Client, server: RunningServer, kills: int, rng: np.random.Generator) -> dict[str, Any]:
    """Four people label without a pause, sending again what was not answered, while the API is killed."""
    project = _project(owner, "labeling")
    _add(owner, project, [{"text": _text(n)} for n in range(20_000)])
    over = threading.Event()
    people = []
    for n in range(4):
        email = f"annotator-{n}@example.org"
        password = _json(owner.post("/v1/users", json={"email": email, "role": "member"}))["password"]
        _json(owner.post(f"/v1/projects/{project}/members", json={"email": email, "role": "annotator"}))
        people.append(sign_in(server.url, email, password))
    recover = []
    with ThreadPoolExecutor(len(people)) as pool:
        working = [pool.submit(_label_until, over, person, project) for person in people]
        for _ in range(kills):
            time.sleep(float(rng.uniform(0.2, 1.5)))
            server.part("api").kill()
            killed = time.perf_counter()
            _again(over, lambda: owner.get("/healthz", timeout=5))
            recover.append(time.perf_counter() - killed)
        over.set()
        acknowledged = [entry for done in working for entry in done.result()]
    for person in people:
        person.close()
    answer = owner.get(f"/v1/projects/{project}/labels", params={"format": "jsonl"}).raise_for_status()
    standing = [json.loads(line) for line in answer.text.splitlines()]
    items = [row["item"] for row in standing]
    return {
        "jobs": 0,
        "hit": kills,
        "lost": len({entry["id"] for entry in acknowledged} - {row["id"] for row in standing}),
        "wrong": len(items) - len(set(items)),
        "goes_on_p50_s": percentile(recover, 0.5),
        "goes_on_max_s": max(recover),
        "acknowledged": len(acknowledged),
    }


def _label_until(over: threading.Event, person: httpx.Client, project: str) -> list[dict[str, Any]]:
    """Label until told to stop; gives what the service said it accepted."""
    acknowledged: list[dict[str, Any]] = []
    while not over.is_set():
        batch = _again(over, lambda: person.post(f"/v1/projects/{project}/batches", json={"size": 5}))
        if batch is None:
            break
        labels = [
            {"item": item["id"], **_label(_number(item["text"]), True), "request_id": uuid.uuid4().hex}
            for item in batch["items"]
        ]
        body = {"labels": labels}
        sent = _again(None, lambda body=body: person.post(f"/v1/projects/{project}/labels", json=body))  # type: ignore[misc]
        acknowledged.extend(sent["accepted"] if sent else [])
    return acknowledged


def _again(over: threading.Event | None, ask: Callable[[], httpx.Response]) -> dict[str, Any] | None:
    """Ask until there is an answer: what a page or a careful program does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (over is not None and over.is_set()):
        with suppress(httpx.TransportError):
            answer = ask()
            if answer.status_code < 500:
                return _json(answer)
        time.sleep(_POLL_SECONDS)
    return None


def _project(owner: httpx.Client, name: str) -> str:
    settings = {"batch_size": 100_000, "encoder": "hashed"}
    body = {"name": f"{name} {uuid.uuid4().hex[:6]}", "task": "text", "labels": CLASSES, "settings": settings}
    return str(_json(owner.post("/v1/projects", json=body))["id"])


def _add(owner: httpx.Client, project: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 1000):
        _json(owner.post(f"/v1/projects/{project}/items", json={"items": rows[start : start + 1000]}))


def _json(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def _text(n: int) -> str:
    return f"{CLASSES[n % 2]} {'apples and pears' if n % 2 else 'stones and sand'} in box number {n}"


def _number(text: str) -> int:
    return int(text.rsplit(" ", 1)[1])


def _label(n: int, given: bool) -> dict[str, str]:
    return {"label": CLASSES[n % 2]} if given else {}


if __name__ == "__main__":
    main()
