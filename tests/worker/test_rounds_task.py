"""Rounds as jobs: everything that a round brings is there at once, or nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from predictor import load
from sampler.strategies.auto import auto_phase
from tests.worker.conftest import Begun
from tests.worker.service import Service, text_of, truth
from winnow import attempt_files, features, jobs, pool, queue, registry, rounds
from winnow.db.tables import Item, Job, LedgerEntry, QueueEntry, Round, Student
from winnow.jobs import JobContext
from worker.base import run_job
from worker.round_checkpoints import StoredCheckpoints
from worker.tasks import rounds as task


def twenty_labels(service: Service) -> int:
    """A project of 120 encoded texts, 20 of them labelled, whose round waits; it trains one family of students."""
    project = service.make_project(120, student="static")
    service.work()
    assert service.label(project, 20) == 20
    service.waiting("round")
    return project


@pytest.fixture
def labeled(begun: Begun) -> int:
    """That project."""
    return begun(twenty_labels)


def count(service: Service, table: Any) -> int:
    with service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_round_says_what_it_chose_and_why_in_its_report_and_in_the_log(service: Service, labeled: int) -> None:
    with capture_logs() as logs:
        assert service.work() == ["succeeded"]
    with service.database.read() as session:
        round_ = rounds.get_round(session, labeled, 1)
    ranking = round_.metrics["ranking"]
    phase = auto_phase(np.arange(round_.labels) % 2, 2, has_model=True)
    assert ranking == {"strategy": "auto", "ranked_by": phase.strategy, "phase": phase.name, "why": phase.why}
    assert ranking["why"] in round_.metrics["explanation"]
    assert round_.metrics["view_why"] in round_.metrics["explanation"]
    [chose] = [entry for entry in logs if entry["event"] == "round.chose"]
    for name in ("ranking", "teacher_view", "view_losses", "view_why", "teacher_c"):
        assert chose[name] == round_.metrics[name]


def ranked_by_rounds(service: Service) -> int:
    """How many rows the queue has that a student ranked."""
    with service.database.read() as session:
        return session.scalar(select(func.count()).where(QueueEntry.round > 0)) or 0


def test_a_round_publishes_a_student_a_queue_and_its_costs(service: Service, labeled: int) -> None:
    assert service.work() == ["succeeded"]
    job = service.jobs("round")[-1]
    assert job.result == {
        "round": 1,
        "state": "trained",
        "student": 1,
        "promoted": True,
        "reason": job.result and job.result["reason"],
    }
    with service.database.read() as session:
        round_ = rounds.get_round(session, labeled, 1)
        student = registry.get_student(session, labeled, "current")
        ranked = session.scalars(select(QueueEntry).order_by(QueueEntry.rank)).all()
        spent = session.scalars(select(LedgerEntry).where(LedgerEntry.job_id == job.id)).one()
    assert (round_.student_version, round_.promoted, round_.job_id) == (1, True, job.id)
    assert round_.cutoff == service.standing(labeled)
    assert 0 < round_.labels <= 20, "the holdout is not trained on"
    assert round_.costs["cpu_seconds"] > 0
    assert spent.cpu_seconds == pytest.approx(round_.costs["cpu_seconds"], rel=0.2)
    assert sum(student.recipe["labels_per_class"].values()) == student.labels
    assert student.recipe["labels_by_source"] == {"human": student.labels}

    assert ranked
    assert [entry.rank for entry in ranked] == list(range(len(ranked)))
    assert all(entry.score is not None and entry.label in ("spam", "ham") for entry in ranked)
    assert all(entry.reason for entry in ranked)
    project = service.project(labeled)
    assert (project.ranked_round, project.ranked_cutoff, project.round_labels) == (1, round_.cutoff, 20)

    with attempt_files.local_folder(service.storage, registry.serving_path(student)) as folder:
        [said] = load(folder).predict(["win money fast"])
    assert set(said["probabilities"]) == {"spam", "ham"}


def test_the_first_labels_are_asked_for_by_the_cold_start(service: Service) -> None:
    project = service.make_project(50)
    assert service.work() == ["succeeded", "succeeded"]
    result = service.jobs("round")[0].result
    assert result is not None
    assert (result["round"], result["state"]) == (None, "no_data")
    with service.database.read() as session:
        ranked = session.scalars(select(QueueEntry).order_by(QueueEntry.rank)).all()
    assert len(ranked) > 30
    assert {(entry.round, entry.student_version, entry.score, entry.label) for entry in ranked} == {
        (0, None, None, None)
    }
    assert service.project(project).ranked_round == 0


def test_near_duplicates_are_ranked_behind_one_of_each_and_behind_those_that_are_labelled(service: Service) -> None:
    project = service.make_project(60, holdout=False, batch_size=500)
    service.add_rows(project, [{"text": f"{text_of(i).upper()}!"} for i in range(60)])
    service.work()
    service.label(project, 20)
    with service.database.write() as session:
        rounds.request_round(session, session.get_one(features_project(), project), forced=True)
    service.work()
    with service.database.read() as session:
        ranked = session.scalars(
            select(Item.group_digest).join(QueueEntry, QueueEntry.item_id == Item.id).order_by(QueueEntry.rank)
        ).all()
        begun = set(session.scalars(select(Item.group_digest).where(Item.standing > 0)))
    assert len(ranked) == 100
    fresh = 60 - len(begun)
    assert len(set(ranked[:fresh])) == fresh
    assert not set(ranked[:fresh]) & begun
    assert len(set(ranked)) + len(begun - set(ranked)) == 60


def test_what_items_are_near_duplicates_by_is_read_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    read = pool.near_duplicates

    def watched(session: Session, project_id: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
        asked.append((start, stop))
        return read(session, project_id, start, stop)

    monkeypatch.setattr(pool, "near_duplicates", watched)
    project = service.make_project(60, holdout=False)
    service.work()
    for more in (0, 0, 10):
        if more:
            service.add_rows(project, [{"text": f"{text_of(i).upper()}!"} for i in range(more)])
            service.work()
        service.label(project, 20)
        with service.database.write() as session:
            rounds.request_round(session, session.get_one(features_project(), project), forced=True)
        assert "succeeded" in service.work()
    assert asked == [(0, 60), (60, 70)]


def test_the_same_hint_twice_is_one_round(service: Service, labeled: int) -> None:
    job = service.waiting("round")
    outcomes = [run_job(service.runtime(), "round", job.id, task.run) for _ in range(2)]
    assert outcomes == ["succeeded", "not waiting"]
    assert (count(service, Round), count(service, Student)) == (1, 1)


def test_later_rounds_start_warm_and_are_numbered_on(service: Service, labeled: int) -> None:
    service.work()
    for n in (2, 3):
        assert service.label(labeled, 10) == 10
        assert service.work() == ["succeeded"]
        with service.database.read() as session:
            assert rounds.get_round(session, labeled, n).student_version == n
    assert count(service, Student) == 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the attempt runs after it."""


@pytest.mark.parametrize("step", ["teacher", "composite", "student", "ranking", "store", "publish"])
def test_a_round_that_dies_at_any_step_is_one_round_in_the_end(
    service: Service, labeled: int, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.waiting("round")
    save, store, publish = StoredCheckpoints.save, task.store_student, task._publish

    def dying_save(checkpoints: StoredCheckpoints, name: str, arrays: Any) -> None:
        save(checkpoints, name, arrays)
        if name == step:
            raise Killed

    def dying_store(*arguments: Any) -> str:
        path = store(*arguments)
        if step == "store":
            raise Killed
        return path

    def dying_publish(*arguments: Any) -> None:
        publish(*arguments)
        if step == "publish":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(StoredCheckpoints, "save", dying_save)
        patched.setattr(task, "store_student", dying_store)
        patched.setattr(task, "_publish", dying_publish)
        with pytest.raises(Killed):
            run_job(service.runtime(), "round", job.id, task.run)
    assert (count(service, Round), count(service, Student), ranked_by_rounds(service)) == (0, 0, 0)
    with service.database.write() as session:
        assert jobs.release_worker(session, "elsewhere:1") == [job.id]

    loaded: list[str] = []
    load_step = StoredCheckpoints.load

    def watched(checkpoints: StoredCheckpoints, name: str) -> Any:
        found = load_step(checkpoints, name)
        if found is not None:
            loaded.append(name)
        return found

    monkeypatch.setattr(StoredCheckpoints, "load", watched)
    assert run_job(service.runtime(), "round", job.id, task.run) == "succeeded"
    steps = ["teacher", "composite", "student", "ranking"]
    made = steps[: steps.index(step) + 1] if step in steps else steps
    assert loaded == [name for name in ("teacher", "ranking", "composite", "student") if name in made]
    assert (count(service, Round), count(service, Student)) == (1, 1)
    assert ranked_by_rounds(service) > 0
    with service.database.read() as session:
        assert jobs.to_dict(session.get_one(Job, job.id))["attempt"] == 2
        assert session.scalars(select(LedgerEntry.attempt).where(LedgerEntry.job_id == job.id)).all() == [2]
    left = [path for path in service.storage.list() if f"/{job.id}-1/" in path]
    assert left == [], "what the first attempt stored is swept away"


def test_checkpoints_are_not_used_when_labels_have_come_since(
    service: Service, labeled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.waiting("round")

    def killed(*arguments: Any) -> str:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(task, "store_student", killed)
        with pytest.raises(Killed):
            run_job(service.runtime(), "round", job.id, task.run)
    service.label(labeled, 3)
    with service.database.write() as session:
        jobs.release_worker(session, "elsewhere:1")
    load_step = StoredCheckpoints.load
    loaded: list[bool] = []

    def watched(checkpoints: StoredCheckpoints, name: str) -> Any:
        found = load_step(checkpoints, name)
        loaded.append(found is not None)
        return found

    monkeypatch.setattr(StoredCheckpoints, "load", watched)
    assert run_job(service.runtime(), "round", job.id, task.run) == "succeeded"
    assert loaded
    assert not any(loaded)
    with service.database.read() as session:
        assert rounds.get_round(session, labeled, 1).cutoff == service.standing(labeled)


def test_a_canceled_round_publishes_nothing(service: Service, labeled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    job = service.waiting("round")
    store = task.store_student

    def canceled(*arguments: Any) -> str:
        path = store(*arguments)
        with service.database.write() as session:
            jobs.cancel(session, job.id)
        return path

    monkeypatch.setattr(task, "store_student", canceled)
    assert run_job(service.runtime(), "round", job.id, task.run) == "lost"
    assert (count(service, Round), count(service, Student), ranked_by_rounds(service)) == (0, 0, 0)
    assert service.jobs("round")[-1].state == "canceled"


def test_without_two_classes_there_is_no_data(service: Service) -> None:
    project = service.make_project(10)
    service.work()
    for labels in (0, 1):
        if labels:
            service.label(project, 1)
        with service.database.write() as session:
            rounds.request_round(session, session.get_one(features_project(), project), forced=True)
        assert service.work() == ["succeeded"]
        result = service.jobs("round")[-1].result
        assert result is not None
        assert (result["round"], result["state"], result["student"], result["promoted"]) == (
            None,
            "no_data",
            None,
            False,
        )
        assert "class" in result["reason"]
    assert (count(service, Round), count(service, Student)) == (0, 0)


def features_project() -> Any:
    from winnow.db.tables import Project

    return Project


def test_a_round_that_comes_before_the_encoding_encodes_the_pool_itself(service: Service) -> None:
    project = service.make_project(60)
    service.label(project, 20)
    encoding, job = service.waiting("encode"), service.waiting("round")
    with service.database.write() as session:  # it had begun, and made way
        begun = jobs.claim(session, encoding.id, "elsewhere:1", service.settings)
        assert begun is not None
        jobs.release(session, encoding.id, begun.attempt, "makes way")
    assert run_job(service.runtime(), "round", job.id, task.run) == "succeeded"
    with service.database.read() as session:
        assert features.covered(session, project) == 60
    assert ranked_by_rounds(service) > 0
    assert service.work() == ["succeeded"]
    result = service.jobs("encode")[0].result
    assert result is not None
    assert (result["items"], result["encoded"]) == (60, 0)


def test_labels_on_items_without_features_count_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.round_inputs.ENCODE_AHEAD_SECONDS", 0.0)
    project = service.make_project(60)
    assert service.label(project, 20) == 20
    job = service.waiting("round")
    assert run_job(service.runtime(), "round", job.id, task.run) == "succeeded"
    with service.database.read() as session:
        round_ = rounds.get_round(session, project, 1)
        assert features.covered(session, project) == 0
    assert round_.labels > 0
    assert ranked_by_rounds(service) == 0, "only what has features can be ranked"

    service.work()  # encodes
    service.add_rows(project, [{"text": text_of(i, "again")} for i in range(30)])
    service.label(project, 40)
    assert run_job(service.runtime(), "round", service.waiting("round").id, task.run) == "succeeded"
    with service.database.read() as session:
        assert features.covered(session, project) == 60
        ranked = session.scalars(select(QueueEntry)).all()
    assert ranked


def test_what_is_leased_is_not_ranked_and_leases_stay(service: Service, labeled: int) -> None:
    from winnow import pool

    with service.database.write() as session:
        batch = queue.claim_batch(session, pool.locked_project(session, labeled), service.user_id, 15)
    held = {entry.item_id for entry in batch.items}
    service.work()
    with service.database.read() as session:
        assert held.isdisjoint(session.scalars(select(QueueEntry.item_id)).all())
        assert {
            lease.item_id for lease in queue.list_leases(session, service.project(labeled), service.user_id)
        } == held


def test_an_own_test_set_is_measured_on_and_never_trained_on(service: Service) -> None:
    project = service.make_project(80)
    rows = [{"text": text_of(i, "exam")} for i in range(60)]
    service.add_rows(project, [{**row, "label": truth(row["text"]), "split": "test"} for row in rows])
    service.work()
    service.label(project, 20)
    service.work()
    with service.database.read() as session:
        round_ = rounds.get_round(session, project, 1)
    assert round_.labels == 20
    assert round_.metrics["measured_on"] == "test"
    assert round_.metrics["accuracy"]["labels"] == 60
    assert round_.metrics["accuracy"]["value"] > 0.8


def test_imported_labels_train_a_student_as_soon_as_they_are_encoded(service: Service) -> None:
    project = service.make_project(40)
    rows = [{"text": text_of(i, "known")} for i in range(20)]
    service.add_rows(project, [{**row, "label": truth(row["text"])} for row in rows])
    assert service.work() == ["succeeded", "succeeded"]
    with service.database.read() as session:
        student = registry.get_student(session, project, "current")
    assert student.recipe["labels_by_source"] == {"import": 20}


def test_a_second_opinion_comes_first_where_items_overlap(service: Service) -> None:
    project = service.make_project(60, overlap=2)
    service.work()
    service.label(project, 20)
    service.work()
    with service.database.read() as session:
        ranked = session.scalars(select(QueueEntry).order_by(QueueEntry.rank)).all()
        begun = [entry for entry in ranked if entry.reason and "another opinion" in entry.reason]
    assert len(begun) == service.project(project).n_labels - service.project(project).n_holdout_labels
    assert [entry.rank for entry in begun] == list(range(len(begun)))


def test_a_round_that_holds_its_student_keeps_the_current_one(
    service: Service, labeled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    service.work()
    run_round = task.run_round

    def held(*arguments: Any) -> Any:
        return replace(run_round(*arguments), promoted=False, reason="it is worse")

    monkeypatch.setattr(task, "run_round", held)
    service.label(labeled, 10)
    service.work()
    with service.database.read() as session:
        assert registry.current_version(session, labeled) == 1
        assert registry.get_student(session, labeled, 2).promoted_at is None
        round_ = rounds.get_round(session, labeled, 2)
    assert (round_.promoted, round_.reason) == (False, "it is worse")


def test_progress_is_shown_while_a_round_runs(service: Service, labeled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[float, str]] = []
    monkeypatch.setattr(JobContext, "progress", lambda context, share, message="": shown.append((share, message)))
    service.work()
    shares = [share for share, _ in shown]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 and message for share, message in shown)
    assert len(shown) >= 4


def test_the_ranking_knows_numbers_from_rows() -> None:
    from worker.round_inputs import Rows

    rows = Rows(10, np.array([12, 15]))
    assert rows.of(np.array([3, 15, 12])).tolist() == [3, 11, 10]
    assert rows.numbers(np.array([3, 11, 10])).tolist() == [3, 15, 12]
    assert Rows(4, np.array([], np.int64)).numbers(np.array([2])).tolist() == [2]
