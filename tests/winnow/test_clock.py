"""Leases of jobs are written and judged by the database's clock."""

from __future__ import annotations

from datetime import timedelta

import pytest

from winnow import jobs
from winnow.db import clock
from winnow.db.base import utcnow
from winnow.db.clock import database_time
from winnow.db.session import Database
from winnow.settings import Settings


def test_the_database_knows_the_time(database: Database) -> None:
    with database.read() as session:
        first, second = database_time(session), database_time(session)
    assert first.tzinfo is not None
    assert first.utcoffset() == timedelta(0)
    assert second > first, "not the start of the transaction"
    assert abs(utcnow() - second) < timedelta(minutes=1)


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_machine_whose_clock_is_wrong_takes_nothing_from_others(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as session:
        job_id = jobs.create_job(session, "export", None).id
        assert jobs.claim(session, job_id, "elsewhere:1", settings) is not None
    monkeypatch.setattr(clock, "utcnow", lambda: utcnow() + timedelta(hours=1))
    with database.write() as session:
        now = database_time(session)
        assert jobs.lost_jobs(session, now) == []
        assert jobs.lost_jobs(session, now + timedelta(hours=1)) == [job_id]
        assert jobs.heartbeat(session, job_id, 1, settings)
        assert jobs.get_job(session, job_id).lease_until is not None
        assert jobs.lost_jobs(session, now + timedelta(minutes=1)) == [job_id], "nor does it hold work for ever"
