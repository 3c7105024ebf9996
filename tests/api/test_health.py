"""Liveness and readiness over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI

from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import WorkerSeen


def see_worker(database: Database, seconds_ago: float) -> None:
    with database.write() as session:
        session.merge(WorkerSeen(name="w1", seen_at=utcnow() - timedelta(seconds=seconds_ago)))


def test_it_lives(client: httpx.Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_it_is_ready_once_a_worker_was_seen(client: httpx.Client, database: Database) -> None:
    before = client.get("/readyz")
    assert before.status_code == 503
    assert before.json() == {
        "status": "not_ready",
        "checks": {"database": "ok", "worker": "none seen", "broker": "ok", "storage": "ok"},
    }
    see_worker(database, 1)
    after = client.get("/readyz")
    assert after.status_code == 200
    assert after.json() == {
        "status": "ready",
        "checks": {"database": "ok", "worker": "ok", "broker": "ok", "storage": "ok"},
    }
    see_worker(database, 20)
    assert client.get("/readyz").status_code == 503


def test_a_dead_broker_is_said(client: httpx.Client, app: FastAPI, database: Database) -> None:
    see_worker(database, 1)
    app.state.check_broker = lambda: False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["broker"]) == (503, "unreachable")


def test_a_dead_database_is_said(client: httpx.Client, app: FastAPI, tmp_path: Path) -> None:
    app.state.database = gone = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "unreachable",
        "worker": "unknown",
        "broker": "ok",
        "storage": "ok",
    }
    gone.dispose()


def test_without_its_storage_it_stays_ready_and_says_so(client: httpx.Client, app: FastAPI, database: Database) -> None:
    see_worker(database, 1)
    app.state.check_storage = lambda: False
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["checks"]["storage"] == "unreachable"
