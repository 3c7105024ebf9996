"""Simulated annotators: real accounts that label over HTTP and know nothing but the contract."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

Item = Mapping[str, Any]


@dataclass
class Crew:
    """A project and the people who label it.

    ``truth`` gives an item's class. What was handed out and accepted is kept, to be held against what the service says.
    """

    url: str
    owner: httpx.Client
    project: str
    truth: Callable[[Item], str]
    members: list[httpx.Client] = field(default_factory=list)
    served: list[tuple[str, int, float]] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    next_seconds: list[float] = field(default_factory=list)
    submit_seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hire(self, count: int) -> None:
        """Make ``count`` users, annotators of the project, and sign each in."""
        for _ in range(count):
            email = f"annotator-{uuid.uuid4().hex[:8]}@example.org"
            made = self.owner.post("/v1/users", json={"email": email, "role": "member"}).raise_for_status().json()
            member = {"email": email, "role": "annotator"}
            self.owner.post(f"/v1/projects/{self.project}/members", json=member).raise_for_status()
            self.members.append(sign_in(self.url, email, made["password"]))

    def label(self, count: int, size: int = 5) -> int:
        """Let all of them label until ``count`` labels are accepted or nothing is left; gives how many were."""
        taken = 0

        def work(number: int) -> int:
            nonlocal taken
            done = 0
            while True:
                with self._lock:
                    mine = min(size, count - taken)
                    taken += mine
                if mine <= 0:
                    return done
                items = self._next(number, mine)
                if not items:
                    return done
                done += self._submit(number, items)
                with self._lock:
                    taken -= mine - len(items)

        with ThreadPoolExecutor(len(self.members)) as pool:
            return sum(pool.map(work, range(len(self.members))))

    def close(self) -> None:
        """Close everybody's connections."""
        for member in self.members:
            member.close()

    def _next(self, number: int, size: int) -> list[Item]:
        began = time.perf_counter()
        answer = self.members[number].post(f"/v1/projects/{self.project}/batches", json={"size": size})
        waited = time.perf_counter() - began
        if answer.status_code != 200:
            self._note(f"batches: {answer.status_code} {answer.text[:200]}")
            return []
        items: list[Item] = answer.json()["items"]
        with self._lock:
            self.next_seconds.append(waited)
            self.served.extend((str(item["id"]), number, time.time()) for item in items)
        return items

    def _submit(self, number: int, items: list[Item]) -> int:
        labels = [
            {
                "item": item["id"],
                "label": self.truth(item),
                "lease": item["lease"]["id"],
                "seconds": 1.0,
                "request_id": uuid.uuid4().hex,
            }
            for item in items
        ]
        began = time.perf_counter()
        answer = self.members[number].post(f"/v1/projects/{self.project}/labels", json={"labels": labels})
        waited = time.perf_counter() - began
        if answer.status_code != 201:
            self._note(f"labels: {answer.status_code} {answer.text[:200]}")
            return 0
        body = answer.json()
        with self._lock:
            self.submit_seconds.append(waited)
            self.accepted.update({str(entry["item"]): str(entry["id"]) for entry in body["accepted"]})
        for rejected in body["rejected"]:
            self._note(f"rejected: {rejected['reason']}")
        return len(body["accepted"])

    def _note(self, error: str) -> None:
        with self._lock:
            self.errors.append(error)


def sign_in(url: str, email: str, password: str) -> httpx.Client:
    """A signed-in HTTP client of the service at ``url``."""
    with httpx.Client(timeout=60) as client:
        answer = client.post(f"{url}/v1/auth/token", json={"email": email, "password": password}).raise_for_status()
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {answer.json()['access_token']}"}, timeout=60)


def wait_job(client: httpx.Client, job: Mapping[str, Any], seconds: float = 600.0) -> dict[str, Any]:
    """Wait until a job ended, and give it.

    Raises:
        TimeoutError: it had not, after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now: dict[str, Any] = client.get(f"/v1/jobs/{job['id']}").raise_for_status().json()
        if now["state"] in ("succeeded", "failed", "canceled"):
            return now
        time.sleep(0.05)
    raise TimeoutError(f"job {job['id']} is still {now['state']} after {seconds:.0f} s: {now['message']}")


def wait_round(client: httpx.Client, project: str, n: int, seconds: float = 600.0) -> dict[str, Any]:
    """Wait until round ``n`` of a project is there, and give it.

    Raises:
        TimeoutError: it was not, after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = client.get(f"/v1/projects/{project}/rounds/{n}")
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        time.sleep(0.05)
    raise TimeoutError(f"round {n} did not come within {seconds:.0f} s")


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie (nearest rank); 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
