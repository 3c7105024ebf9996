"""The work that goes on while parts are killed: people who label, files that are imported, rounds, exports."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx

from bench.annotators import sign_in
from bench.scenarios.kills.deployments import Deployment
from bench.scenarios.kills.record import LEASE_SECONDS, Given, NeverAnswered, Record

CLASSES = ("even", "odd")
POOL = 3_000
FILE_ROWS = 1_500
SMALL_FILE_ROWS = 60
PEOPLE = 4
BATCH = 2
#: A hundred-thousandth label makes a round due: rounds are those that are asked for, and the cold start.
_SETTINGS = {"batch_size": 100_000, "encoder": "hashed", "lease_seconds": LEASE_SECONDS}
_ENDED = ("succeeded", "failed", "canceled")


@dataclass
class Person:
    """Somebody who labels: a client of their own, and what they hold."""

    user: int
    client: httpx.Client
    project: int
    record: Record
    rng: random.Random
    unsure: bool = False

    def turn(self, over: threading.Event | None = None) -> bool:
        """Take a batch and answer it, now and then with a skip or an undo; False when there was none, or it is over."""
        items = self._next(over)
        if not items:
            return False
        entries = [self._entry(item) for item in items]
        accepted = self._submit(entries)
        # A skip is not undone: that takes the item back from whoever has it by now, which is no fault.
        skipped = {int(entry["item"]) for entry in entries if "skip" in entry}
        labels = [given for given in accepted if given.item not in skipped]
        if labels and self.rng.random() < 0.08:
            self._change_mind(self.rng.choice(labels))
        return True

    def _next(self, over: threading.Event | None) -> list[dict[str, Any]]:
        held: list[dict[str, Any]] = []
        if self.unsure:  # an answer was lost: what it handed out is held all the same, as a reloaded page finds out
            answer = self.record.ask(lambda: self.client.get(f"{self._at}/leases"), over=over)
            if answer is None:
                return []
            held = [{**row["item"], "lease": row} for row in answer.json()["data"]]
            self.unsure = False
        if not held:
            tries = [0]

            def call() -> httpx.Response:
                tries[0] += 1
                return self.client.post(f"{self._at}/batches", json={"size": BATCH})

            answer = self.record.ask(call, over=over)
            self.unsure = tries[0] > 1
            if answer is None:
                self.unsure = True
                return []
            held = answer.json()["items"]
        self.record.hold(self.user, held)
        return held

    def _entry(self, item: dict[str, Any]) -> dict[str, Any]:
        entry = {"item": item["id"], "lease": item["lease"]["id"], "request_id": uuid.uuid4().hex, "seconds": 0.1}
        if self.rng.random() < 0.05:
            return {**entry, "skip": True}
        return {**entry, "label": CLASSES[_number(item["text"]) % 2]}

    def _submit(self, entries: list[dict[str, Any]]) -> list[Given]:
        with self.record.sending():
            answer = self.record.ask(lambda: self.client.post(f"{self._at}/labels", json={"labels": entries}))
        assert answer is not None
        if answer.status_code != 201:
            self.record.fault(f"labels: {answer.status_code} {answer.text[:200]}")
            return []
        body = answer.json()
        for rejected in body["rejected"]:
            self.record.fault(f"rejected: {rejected['reason']}")
        requests = {str(entry["item"]): entry["request_id"] for entry in entries}
        given = [
            Given(int(row["id"]), int(row["item"]), self.user, requests[str(row["item"])]) for row in body["accepted"]
        ]
        self.record.acknowledge(given)
        return given

    def _change_mind(self, given: Given) -> None:
        """Undo, and answer anew. An undo whose answer was lost says, when it is sent again, that nothing stands."""
        answer = self.record.ask(lambda: self.client.delete(f"{self._at}/labels/{given.label}"))
        assert answer is not None
        if answer.status_code not in (200, 409):
            self.record.fault(f"undo: {answer.status_code} {answer.text[:200]}")
            return
        self.record.undone.add(given.label)
        if answer.status_code == 200:
            body = answer.json()
            self.record.hold(self.user, [{"id": body["item"]["id"], "lease": body["lease"]}])
        self._submit([{"item": str(given.item), "label": self.rng.choice(CLASSES), "request_id": uuid.uuid4().hex}])

    @property
    def _at(self) -> str:
        return f"/v1/projects/{self.project}"


@dataclass
class Work:
    """A project that is labelled and trained on, one that files go into, and everybody who works on them."""

    owner: httpx.Client
    project: int
    pool: int
    people: list[Person]
    prober: Person
    record: Record
    rng: random.Random
    over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Everybody begins."""
        for person in self.people:
            self._begin(self._label, person)
        self._begin(self._import, random.Random(self.rng.random()))
        self._begin(self._train, random.Random(self.rng.random()))
        self._begin(self._export, random.Random(self.rng.random()))

    def stop(self) -> None:
        """Nobody begins anything new; returns when all have had their answers and their jobs have ended."""
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _begin(self, what: Any, *arguments: Any) -> None:
        def run() -> None:
            try:
                what(*arguments)
            except NeverAnswered:
                pass  # it is noted
            except Exception as error:
                self.record.fault(f"{what.__name__}: {type(error).__name__}: {error}")

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def _label(self, person: Person) -> None:
        while not self.over.is_set():
            person.turn(self.over)
            self.over.wait(person.rng.uniform(0.1, 0.4))

    def _import(self, rng: random.Random) -> None:
        """Files one after another, each fourth a small one into the project that is being labelled."""
        count = 0
        while not self.over.is_set():
            count += 1
            project, rows = (self.project, SMALL_FILE_ROWS) if count % 4 == 0 else (self.pool, FILE_ROWS)
            lines = [{"text": text_of(POOL + count * FILE_ROWS + n), "key": f"{count}-{n}"} for n in range(rows)]
            data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
            files = {"file": ("rows.jsonl", data, "application/x-ndjson")}
            answer = self.record.ask(partial(self.owner.post, f"/v1/projects/{project}/imports", files=files))
            self._follow(answer, "import")
            for counts in (self.record.rows, self.record.imported):
                counts[project] = counts.get(project, 0) + rows
            self.over.wait(rng.uniform(0.0, 0.5))

    def _train(self, rng: random.Random) -> None:
        while not self.over.is_set():
            self._follow(self.record.ask(lambda: self.owner.post(f"/v1/projects/{self.project}/rounds")), "round")
            self.over.wait(rng.uniform(0.2, 1.0))

    def _export(self, rng: random.Random) -> None:
        """A bundle of the current student every few seconds, once there is one; one at least."""
        asked, tries = False, 0
        path = f"/v1/projects/{self.project}/students/current/exports"
        while not self.over.is_set() or (not asked and tries < 600):
            answer = self.record.ask(partial(self.owner.post, path, json={"format": "onnx-int8"}))
            if answer is not None and answer.status_code != 409:
                asked = True
                self._follow(answer, "export")
            tries += self.over.is_set()
            threading.Event().wait(0.1 if self.over.is_set() else rng.uniform(0.1, 2.0))

    def _follow(self, answer: httpx.Response | None, kind: str) -> None:
        assert answer is not None
        if answer.status_code != 202:
            self.record.fault(f"{kind}: {answer.status_code} {answer.text[:200]}")
            return
        job = answer.json()
        self.record.jobs[int(job["id"])] = kind
        for _ in range(1_200):
            now = self.record.ask(lambda: self.owner.get(f"/v1/jobs/{job['id']}"))
            if now is None or now.status_code != 200 or now.json()["state"] in _ENDED:
                return
            threading.Event().wait(0.1)


@contextmanager
def working(deployment: Deployment, owner: httpx.Client, seed: int) -> Iterator[Work]:
    """New projects with a pool, and people who may label it; all clients are closed in the end."""
    record, rng = Record(), random.Random(seed)
    project, pool = (_project(owner, name) for name in ("labelled", "imported"))
    rows = [{"text": text_of(n), **({"label": CLASSES[n % 2]} if n < 40 else {})} for n in range(POOL)]
    for start in range(0, POOL, 1000):
        owner.post(f"/v1/projects/{project}/items", json={"items": rows[start : start + 1000]}).raise_for_status()
    record.rows[project] = POOL
    people = [_person(deployment, owner, project, record, rng.random()) for _ in range(PEOPLE + 1)]
    try:
        yield Work(owner, project, pool, people[1:], people[0], record, rng)
    finally:
        for person in people:
            person.client.close()


def _person(deployment: Deployment, owner: httpx.Client, project: int, record: Record, seed: float) -> Person:
    email = f"{uuid.uuid4().hex[:8]}@example.org"
    made = owner.post("/v1/users", json={"email": email, "role": "member"}).raise_for_status().json()
    member = {"email": email, "role": "annotator"}
    owner.post(f"/v1/projects/{project}/members", json=member).raise_for_status()
    client = sign_in(deployment.server.url, email, made["password"])
    return Person(int(made["id"]), client, project, record, random.Random(seed))


def _project(owner: httpx.Client, name: str) -> int:
    body = {
        "name": f"{name} {uuid.uuid4().hex[:6]}",
        "task": "text",
        "labels": list(CLASSES),
        "settings": _SETTINGS,
    }
    return int(owner.post("/v1/projects", json=body).raise_for_status().json()["id"])


def text_of(n: int) -> str:
    """The ``n``-th text; its number tells its class, and so do its words."""
    return f"{'apples and pears' if n % 2 else 'stones and sand'} in box {n % 97} of row {n % 89} number {n}"


def _number(text: str) -> int:
    return int(text.rsplit(" ", 1)[1])
