"""A cold student tried in the background as a job: published where it is better, once, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.worker.conftest import Begun
from tests.worker.service import Service
from winnow import cold_retrains, jobs, projects, registry, rounds
from winnow.db.tables import Job, LedgerEntry, Project, Student
from winnow.leftovers import sweep
from winnow.stats import project_stats
from worker import cold
from worker.base import run_job
from worker.cold import Verdict
from worker.tasks import cold_retrain as task
from worker.tasks import rounds as rounds_task

on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
WARM = 2


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What the comparison says: better, unless a test says otherwise. What it rests on has tests of its own."""
    says = {"better": True}
    monkeypatch.setattr(cold, "judge", lambda _: Verdict(says["better"], "as the test says", {}))
    return says


@pytest.fixture(autouse=True)
def lagging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each warm student is found to agree with its teacher less than the cold one before it did."""

    def parted(metrics: dict[str, Any], carry: dict[str, Any], tried_at: int) -> str | None:
        return cold.parted(
            {**metrics, "agreement": 0.5, "agreement_rows": 100}, {**carry, "cold_agreement": 0.9}, tried_at
        )

    monkeypatch.setattr(rounds_task, "parted", parted)


def cold_and_warm(service: Service, **settings: bool) -> int:
    """A project with a cold student of 20 labels and a warm one of 24."""
    project = service.make_project(120, holdout=False, batch_size=1000, **settings)
    for labels in (20, 4):
        service.label(project, labels)
        train(service, project)
    return project


@pytest.fixture
def waiting(service: Service, begun: Begun, verdict: dict[str, bool]) -> Job:
    """The job that waits after the warm one."""
    begun(cold_and_warm)
    return service.waiting(cold_retrains.KIND)


def train(service: Service, project: int) -> None:
    """Do a round, and nothing that is less urgent."""
    with service.database.write() as session:
        rounds.request_round(session, session.get_one(Project, project), forced=True)
    while due := [job for job in startable(service) if job[0] != cold_retrains.KIND]:
        assert run_job(service.runtime(), *due[0], body(due[0][0])) == "succeeded"


def startable(service: Service) -> list[tuple[str, int]]:
    with service.database.read() as session:
        return jobs.startable(session)


def body(kind: str) -> Any:
    from worker.app import body_of

    return body_of(kind)


def run(service: Service, job: Job) -> str:
    return run_job(service.runtime(), cold_retrains.KIND, job.id, task.run)


def result(service: Service, job: Job) -> dict[str, Any]:
    with service.database.read() as session:
        found = jobs.get_job(session, job.id)
    assert found.state == "succeeded", found.error
    return dict(found.result or {})


def versions(service: Service) -> list[int]:
    with service.database.read() as session:
        return list(session.scalars(select(Student.version).order_by(Student.version)))


def files_of(service: Service, job: Job) -> list[str]:
    return [path for path in service.storage.list() if f"/{job.id}-" in path]


def test_a_better_one_is_published_once_and_the_next_round_goes_on_from_it(service: Service, waiting: Job) -> None:
    project = int(waiting.project_id or 0)
    assert waiting.payload == {
        "round": WARM,
        "version": WARM,
        "why": "it agrees with its teacher on 50.0%, "
        "the last student that started afresh on 90.0% (standard error 5.8%)",
    }
    assert startable(service) == [(cold_retrains.KIND, waiting.id)]
    assert run(service, waiting) == "succeeded"
    assert run(service, waiting) == "not waiting", "told of it twice"
    told = {"round": WARM, "state": "better", "student": 3, "promoted": True, "reason": "as the test says"}
    assert result(service, waiting) == {**told, "labels": 24}
    with service.database.read() as session:
        assert registry.current_version(session, project) == 3
        student = registry.get_student(session, project, 3)
        round_ = rounds.get_round(session, project, WARM)
        stats = project_stats(session, session.get_one(Project, project))
    assert (student.round, student.labels, student.metrics["cold"]) == (WARM, 24, True)
    assert student.recipe["training"]["start_sha256"] is None
    assert round_.student_version == WARM
    noted = round_.metrics["cold_retrain"]
    assert (noted["state"], noted["student"], noted["beside"]) == ("better", 3, WARM)
    assert noted["costs"]["cpu_seconds"] > 0
    assert round_.metrics["explanation"].endswith("It is as the test says: v2 makes way for student v3.")
    assert stats["ledger"]["by_kind"]["cold-retrain"]["attempts"] == 1
    service.label(project, 2)
    train(service, project)
    with service.database.read() as session:
        after = registry.get_student(session, project, 4)
    assert not after.metrics["cold"], "warm, from the cold one"
    assert after.recipe["training"]["start_sha256"] == student.recipe["training"]["weights_sha256"]


@on_sqlite
def test_one_that_is_not_better_leaves_a_note_and_is_not_tried_again_soon(
    service: Service, waiting: Job, verdict: dict[str, bool]
) -> None:
    verdict["better"] = False
    project = int(waiting.project_id or 0)
    assert run(service, waiting) == "succeeded"
    assert result(service, waiting)["state"] == "not better"
    assert (versions(service), files_of(service, waiting)) == ([1, 2], [])
    with service.database.read() as session:
        explanation = rounds.get_round(session, project, WARM).metrics["explanation"]
        assert cold_retrains.tried_at(session, project) == 24
    assert explanation.endswith("It is as the test says: v2 stays.")
    service.label(project, 1)
    train(service, project)
    assert startable(service) == []


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the attempt runs after it."""


@pytest.mark.parametrize("step", ["store_student", "_publish"])
def test_one_that_dies_leaves_nothing_and_the_next_attempt_publishes_one(
    service: Service, waiting: Job, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(task, step)

    def dying(*arguments: Any, **more: Any) -> None:
        real(*arguments, **more)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(task, step, dying)
        with pytest.raises(Killed):
            run(service, waiting)
    assert versions(service) == [1, 2]
    with service.database.write() as session:
        assert jobs.release_worker(session, "elsewhere:1") == [waiting.id]
    assert run(service, waiting) == "succeeded"
    assert versions(service) == [1, 2, 3]
    assert {path.split("/")[3] for path in files_of(service, waiting)} == {f"{waiting.id}-2"}
    with service.database.read() as session:
        costs = select(func.count()).where(LedgerEntry.job_id == waiting.id)
        assert session.scalar(costs) == 1


@on_sqlite
def test_a_newer_round_another_student_and_the_setting_make_it_moot(
    service: Service, waiting: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = int(waiting.project_id or 0)
    store = task.store_student

    def promoted_meanwhile(*arguments: Any) -> Any:
        stored = store(*arguments)
        with service.database.write() as session:
            registry.promote(session, project, 1)
        return stored

    with monkeypatch.context() as patched:
        patched.setattr(task, "store_student", promoted_meanwhile)
        assert run(service, waiting) == "succeeded"
    assert result(service, waiting)["reason"] == "another student is current"
    assert (versions(service), files_of(service, waiting)) == ([1, 2], [])

    with service.database.write() as session:
        registry.promote(session, project, WARM)
        row = session.get_one(Project, project)
        second = cold_retrains.request(session, row, WARM, WARM, "the test")
        assert cold_retrains.request(session, row, WARM, WARM, "once more").id == second.id
        projects.update_project(session, project, settings={"cold_retrain": False})
    assert run(service, second) == "succeeded"
    assert "settings say" in result(service, second)["reason"]
    service.label(project, 2)
    train(service, project)
    with service.database.write() as session:
        row = projects.update_project(session, project, settings={"cold_retrain": True})
        third = cold_retrains.request(session, row, WARM, WARM, "the test")
    assert run(service, third) == "succeeded"
    assert result(service, third) == {
        "round": WARM, "state": "moot", "student": None, "promoted": False, "reason": "a newer round has ended",
    }  # fmt: skip
    assert versions(service) == [1, 2, 3]


@on_sqlite
@pytest.mark.parametrize("other", [{"name": "minilm"}, {"digest": "of the same, fitted on fewer items"}])
def test_a_teacher_of_another_encoder_teaches_nobody(service: Service, waiting: Job, other: dict[str, str]) -> None:
    with service.database.write() as session:
        warm = registry.get_student(session, int(waiting.project_id or 0), WARM)
        training = warm.recipe["training"]
        warm.recipe = {**warm.recipe, "training": {**training, "encoder": {**training["encoder"], **other}}}
    assert run(service, waiting) == "succeeded"
    found = result(service, waiting)
    assert (found["state"], found["reason"].split(":")[0]) == ("moot", "the encoder was changed, or has learned anew")
    assert versions(service) == [1, WARM]


@on_sqlite
def test_it_makes_way_for_a_round_and_publishes_nothing_once_canceled(
    service: Service, waiting: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = task.store_student

    def canceled(*arguments: Any) -> Any:
        stored = store(*arguments)
        with service.database.write() as session:
            jobs.cancel(session, waiting.id)
        return stored

    monkeypatch.setattr(task, "store_student", canceled)
    with service.database.write() as session:
        rounds.request_round(session, session.get_one(Project, waiting.project_id), forced=True)
    assert startable(service)[-1] == (cold_retrains.KIND, waiting.id), "the least urgent of all"
    with service.database.write() as session:
        session.get_one(Job, startable(service)[0][1]).state = "canceled"
    assert run(service, waiting) == "lost"
    sweep(service.database, service.storage, settle=timedelta(0))  # as the reaper does
    assert (versions(service), files_of(service, waiting)) == ([1, 2], [])


@on_sqlite
def test_projects_that_turned_it_off_or_whose_students_take_minutes_ask_for_none(service: Service) -> None:
    cold_and_warm(service, cold_retrain=False)
    assert service.jobs(cold_retrains.KIND) == []
    assert cold.is_quick("hashed", "auto")
    assert cold.is_quick("static", "sklearn:forest")
    assert not cold.is_quick("transformer-1", "auto")
    assert not cold.is_quick("hashed", "finetuned-lora")
    assert not cold.is_quick("hashed", "llm:far")
