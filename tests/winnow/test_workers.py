"""Worker processes: names, lives, sightings."""

from __future__ import annotations

import os
from datetime import timedelta

from sqlalchemy import select

from winnow import workers
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import WorkerSeen


def test_a_process_is_gone_once_it_has_ended_even_before_it_is_waited_for() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        assert not workers.is_gone(workers.worker_name(pid))
        os.kill(pid, 9)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert workers.is_gone(workers.worker_name(pid))
    finally:
        os.waitpid(pid, 0)
    assert workers.is_gone(workers.worker_name(pid))
    assert workers.is_gone(workers.worker_name(pid, os.getpid())), "its parent is gone"
    assert not workers.is_gone(f"elsewhere:{pid}"), "of another machine nobody can tell"


def test_workers_are_seen_and_forgotten(database: Database) -> None:
    now = utcnow()
    with database.write() as session:
        workers.see_worker(session, "old", now - timedelta(hours=2))
        workers.see_worker(session, "mine", now - timedelta(seconds=5))
    with database.write() as session:
        workers.see_worker(session, "mine", now)
    with database.read() as session:
        assert [(seen.name, seen.seen_at) for seen in session.scalars(select(WorkerSeen))] == [("mine", now)]
    with database.write() as session:
        workers.forget_worker(session, "mine")
        assert session.scalars(select(WorkerSeen)).all() == []
