"""Comparing the newest items with the pool as a job, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.worker.service import Service
from tests.worker.test_label_rest import add_student, items, say
from winnow import drift, jobs
from winnow.db.base import utcnow
from winnow.db.tables import Item, Job, Project
from winnow.stats import project_stats


def add(service: Service, project: int, rows: list[dict[str, Any]], hours_ago: float) -> None:
    """Items that came so long ago, and were encoded at once."""
    at = utcnow() - timedelta(hours=hours_ago)
    with service.database.read() as session:
        known = set(session.scalars(select(Item.id)))
    service.add_rows(project, rows)
    with service.database.write() as session:
        new = [item for item in session.scalars(select(Item.id)) if item not in known]
        session.execute(update(Item).where(Item.id.in_(new)).values(created_at=at))
        for job in session.scalars(select(Job).where(Job.kind == "encode", Job.state == "queued")):
            job.state, job.created_at, job.finished_at = "succeeded", at, at + timedelta(seconds=1)


def texts(start: int, n: int, word: str = "") -> list[dict[str, Any]]:
    return [{"text": f"{word or ('spam', 'ham')[k % 2]} a{k}b"} for k in range(start, start + n)]


def ask(service: Service, project: int) -> dict[str, Any] | None:
    """What stats say after everything that waits was done."""
    with service.database.write() as session:
        drift.request_drift(session, project)
    assert set(service.work()) <= {"succeeded"}
    with service.database.read() as session:
        found: dict[str, Any] | None = project_stats(session, session.get_one(Project, project))["drift"]
    return found


@pytest.fixture
def project(service: Service, tmp_path: Path) -> int:
    """Three hundred items of yesterday and a student."""
    made = service.make_project(holdout=False)
    add(service, made, texts(0, 300), hours_ago=24)
    assert ask(service, made) is None  # one stretch alone is compared with nothing
    assert service.jobs("drift") == []
    add_student(service, made, 1, tmp_path / "student")
    return made


def test_items_like_the_pool_do_not_drift_and_others_do(service: Service, project: int) -> None:
    add(service, project, texts(1000, 120), hours_ago=12)
    found = ask(service, project)
    assert found is not None
    assert (found["items"], found["compared"], found["against"], found["version"]) == (120, [150, 120], "pool", 1)
    assert not found["drifted"]
    add(service, project, texts(2000, 80, "ham"), hours_ago=1)
    found = ask(service, project)
    assert found is not None
    assert (found["items"], found["drifted"]) == (80, True)
    assert found["classes"]["ham"]["new"] > 0.95
    assert found["words"].startswith("The 80 newest items differ from the pool")


def test_collected_inputs_that_were_chosen_are_not_compared(service: Service, project: int) -> None:
    rows = [
        {**row, "meta": {"collected": ("uncertain", "novel", "random")[k % 3]}}
        for k, row in enumerate(texts(1000, 180, "ham"))
    ]
    add(service, project, rows, hours_ago=1)
    found = ask(service, project)
    assert found is not None
    assert found["compared"][1] == 60


def test_too_few_items_and_no_student_say_why(service: Service, project: int) -> None:
    add(service, project, texts(1000, 20), hours_ago=1)
    assert ask(service, project) is None
    assert (service.jobs("drift")[-1].result or {})["reason"].startswith("20 new items and 300 of the pool are too few")
    other = service.make_project(holdout=False)
    add(service, other, texts(0, 10), hours_ago=24)
    add(service, other, texts(100, 10), hours_ago=1)
    assert ask(service, other) is None
    assert (service.jobs("drift")[-1].result or {})["reason"] == "there is no student yet"


def test_the_newest_import_is_a_stretch_however_soon_it_comes(service: Service, project: int) -> None:
    with service.database.write() as session:
        before = utcnow()
        job = jobs.create_job(session, "import", project)
        job.state, job.started_at = "succeeded", before
        assert drift.stretch_since(session, project) == before
        job.state = "canceled"
        session.flush()
        assert drift.stretch_since(session, project) is None


def test_encoding_asks_for_it_and_a_promoted_student_asks_again(service: Service, project: int) -> None:
    service.add_rows(project, texts(1000, 60))  # the end of encoding will see that a day lies between
    service.work()
    assert [job.state for job in service.jobs("drift")] == ["succeeded"]
    answers = {item: {"label": text.split()[0]} for item, text in items(service, project, "pool").items()}
    say(service, project, dict(sorted(answers.items())[:20]))
    service.work()
    results = [(job.result or {})["drift"] for job in service.jobs("drift")]
    assert [found["version"] for found in results] == [1, 2]
