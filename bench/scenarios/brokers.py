"""How soon work begins, for each broker: from asking for a job that has nothing to do until it is done."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import httpx

from bench.annotators import percentile, sign_in
from bench.scenarios.story import finish, parser, say
from bench.server import RunningServer
from bench.servers.process import PrivateServer
from bench.servers.rabbitmq import RabbitMQ
from bench.servers.redis import Redis

_BROKERS: dict[str, type[PrivateServer] | None] = {"embedded": None, "redis": Redis, "rabbitmq": RabbitMQ}
_ENDED = ("succeeded", "failed", "canceled")
_JOB_SECONDS = 60.0
_POLL_SECONDS = 0.002


def main() -> None:
    """Ask for rounds of an empty project, one after the other, on each broker."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=50, help="jobs on each broker")
    given = options.parse_args()
    rows: list[dict[str, Any]] = []
    for name, make in _BROKERS.items():
        with ExitStack() as stack:
            broker = stack.enter_context(make()) if make is not None else None
            server = stack.enter_context(RunningServer(environment={"WINNOW_BROKER_URL": broker.url} if broker else {}))
            owner = stack.enter_context(sign_in(server.url, server.email, server.password))
            seconds = _measure(owner, given.jobs)
        rows.append(
            {
                "broker": name,
                "jobs": len(seconds),
                "done_p50_ms": 1e3 * percentile(seconds, 0.5),
                "done_p95_ms": 1e3 * percentile(seconds, 0.95),
            }
        )
        say(f"{name}: {rows[-1]['done_p50_ms']:.0f} ms")
    demands = {"every job is done within a second": all(row["done_p95_ms"] < 1000 for row in rows)}
    finish({"brokers": rows}, given.json, demands)


def _measure(owner: httpx.Client, jobs: int) -> list[float]:
    body = {"name": "nothing to do", "task": "text", "labels": ["a", "b"]}
    project = owner.post("/v1/projects", json=body).raise_for_status().json()["id"]
    seconds = []
    for number in range(jobs + 1):
        began = time.perf_counter()
        job = owner.post(f"/v1/projects/{project}/rounds").raise_for_status().json()
        _wait(owner, job)
        if number:  # the first one loads what a round needs
            seconds.append(time.perf_counter() - began)
    return seconds


def _wait(owner: httpx.Client, job: dict[str, Any]) -> None:
    deadline = time.monotonic() + _JOB_SECONDS
    while job["state"] not in _ENDED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job['id']} is still {job['state']}")
        time.sleep(_POLL_SECONDS)
        job = owner.get(f"/v1/jobs/{job['id']}").raise_for_status().json()


if __name__ == "__main__":
    main()
