"""Annotators who label one project at once: what is served twice or lost, and how long they wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.annotators import Crew, Item, percentile, sign_in
from bench.server import RunningServer

CLASSES = ["even", "odd"]


def measure(items: int, pool: int, annotators: int, size: int, database: str = "sqlite") -> dict[str, Any]:
    """Label ``items`` of a pool of ``pool`` texts with ``annotators`` people who take ``size`` items at a time.

    Training is off (a round would come after more labels than there are), so that the figures are the serving's.
    ``database`` is ``sqlite``, ``postgresql`` (one that is started for this) or a URL; what the database spends is in
    the API's figure with SQLite, has its own with a PostgreSQL started here, and is not known with a URL.
    """
    with (
        _database(database) as (url, database_seconds),
        RunningServer(environment={"WINNOW_DATABASE_URL": url} if url else {}) as server,
        sign_in(server.url, server.email, server.password) as owner,
    ):
        project = _fill(owner, pool)
        crew = Crew(server.url, owner, project, truth)
        crew.hire(annotators)
        api = server.part("api")
        before, database_before = api.cpu_times(), database_seconds()
        began = time.perf_counter()
        labelled = crew.label(items, size)
        seconds = time.perf_counter() - began
        after, database_after = api.cpu_times(), database_seconds()
        standing = list(_standing(owner, project))
        crew.close()
        cpu = after.user + after.system - before.user - before.system
        return {
            "database": database if url is None or database == "postgresql" else "as given",
            "annotators": annotators,
            "pool": pool,
            "batch_size": size,
            "labels": labelled,
            "errors": len(crew.errors),
            "served_twice": _served_twice(crew),
            "lost": len(set(crew.accepted.values()) - {row["id"] for row in standing}),
            "labelled_more_than_once": len(standing) - len({row["item"] for row in standing}),
            "next_p50_ms": 1e3 * percentile(crew.next_seconds, 0.50),
            "next_p95_ms": 1e3 * percentile(crew.next_seconds, 0.95),
            "submit_p50_ms": 1e3 * percentile(crew.submit_seconds, 0.50),
            "submit_p95_ms": 1e3 * percentile(crew.submit_seconds, 0.95),
            "labels_per_second": labelled / seconds,
            "cpu_ms_per_label": 1e3 * cpu / max(labelled, 1),
            "database_cpu_ms_per_label": (
                None
                if database_before is None or database_after is None
                else 1e3 * (database_after - database_before) / max(labelled, 1)
            ),
        }


@contextmanager
def _database(database: str) -> Iterator[tuple[str | None, Callable[[], float | None]]]:
    """The URL of the database (None: the embedded one), and how to ask for the CPU-seconds that it has spent."""
    if database == "sqlite":
        yield None, lambda: None
    elif database == "postgresql":
        from bench.servers.postgresql import PostgreSQL

        with PostgreSQL() as server:
            yield server.create_database(), server.cpu_seconds
    else:
        yield database, lambda: None


def truth(item: Item) -> str:
    """The class of an item of this benchmark."""
    return CLASSES[int(str(item["text"]).rsplit(" ", 1)[1]) % 2]


def _fill(owner: Any, pool: int) -> str:
    settings = {"batch_size": 100_000, "encoder": "hashed", "holdout": False}
    body = {"name": "serving", "task": "text", "labels": CLASSES, "settings": settings}
    project = str(owner.post("/v1/projects", json=body).raise_for_status().json()["id"])
    for start in range(0, pool, 1000):
        rows = [{"text": f"the text with the number {n}"} for n in range(start, min(start + 1000, pool))]
        answer = owner.post(f"/v1/projects/{project}/items", json={"items": rows}).raise_for_status().json()
        assert answer["created"] == len(rows), answer
    _wait_until_idle(owner, project)
    return project


def _wait_until_idle(owner: Any, project: str) -> None:
    """Encoding has nothing to do with serving: let it end first, if it does within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        freshness = owner.get(f"/v1/projects/{project}/stats").raise_for_status().json()["freshness"]
        if freshness["encoding"] is None:
            return
        time.sleep(0.1)


def _standing(owner: Any, project: str) -> Any:
    import json

    with owner.stream("GET", f"/v1/projects/{project}/labels", params={"format": "jsonl"}) as answer:
        for line in answer.iter_lines():
            if line:
                yield json.loads(line)


def _served_twice(crew: Crew) -> int:
    """Items that were handed to two people. Overlap is 1 and no lease runs out, so there must be none."""
    holders: dict[str, set[int]] = {}
    for item, number, _ in crew.served:
        holders.setdefault(item, set()).add(number)
    return sum(len(people) > 1 for people in holders.values())
