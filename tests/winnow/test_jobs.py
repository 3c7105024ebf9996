"""Jobs: claims, fences, leases, hints."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session

from winnow import jobs, workers
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Job, Project
from winnow.errors import Conflict, Invalid, LostJob, NotFound
from winnow.settings import Settings


def make_project(database: Database) -> int:
    with database.write() as session:
        project = Project(name="p", task="text", labels=[], settings={}, order_key="00")
        session.add(project)
        session.flush()
        return project.id


def make_job(database: Database, kind: str = "import", project_id: int | None = None, **payload: object) -> int:
    with database.write() as session:
        return jobs.create_job(session, kind, project_id, payload).id


def claim(database: Database, settings: Settings, job_id: int, worker: str = "elsewhere:1") -> Job | None:
    with database.write() as session:
        return jobs.claim(session, job_id, worker, settings)


def context_of(database: Database, settings: Settings, job_id: int) -> jobs.JobContext:
    job = claim(database, settings, job_id)
    assert job is not None
    return jobs.JobContext(database, job, settings)


def read(database: Database, job_id: int) -> Job:
    with database.read() as session:
        return jobs.get_job(session, job_id)


def test_a_job_is_claimed_once(database: Database, settings: Settings) -> None:
    job_id = make_job(database)
    got = []

    def race(n: int) -> None:
        got.append(claim(database, settings, job_id, f"elsewhere:{n}"))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [job for job in got if job is not None]
    assert len(won) == 1
    assert (won[0].state, won[0].attempt) == ("running", 1)
    assert read(database, job_id).worker == won[0].worker


def test_a_finished_job_is_not_claimed_again(database: Database, settings: Settings) -> None:
    job_id = make_job(database)
    context = context_of(database, settings, job_id)
    with database.write() as session:
        context.finish(session, {"created": 3})
    assert context.finished
    assert claim(database, settings, job_id) is None
    shown = jobs.to_dict(read(database, job_id))
    assert (shown["state"], shown["progress"], shown["result"]) == ("succeeded", 1.0, {"created": 3})
    assert shown["id"] == str(job_id)


def test_what_is_rolled_back_does_not_finish_a_job(database: Database, settings: Settings) -> None:
    context = context_of(database, settings, make_job(database))

    def publish() -> None:
        with database.write() as session:
            context.finish(session, {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        publish()
    assert not context.finished
    assert read(database, context.job_id).state == "running"


def test_an_overtaken_attempt_can_publish_nothing(database: Database, settings: Settings) -> None:
    first = context_of(database, settings, make_job(database))
    with database.write() as session:
        assert jobs.release_worker(session, "elsewhere:1") == [first.job_id]
    second = context_of(database, settings, first.job_id)
    assert second.attempt == 2

    def publish(write: Callable[[Session], None]) -> None:
        with database.write() as session:
            session.add(Project(name="half done", task="text", labels=[], settings={}, order_key="00"))
            write(session)

    for write in (first.fence, lambda s: first.checkpoint(s, {"at": 9}), lambda s: first.finish(s, {"wrong": 1})):
        with pytest.raises(LostJob):
            publish(write)
    assert first.lost
    assert first.should_stop()
    with database.write() as session:
        second.finish(session, {"right": 1})
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Project)) == 0
    assert read(database, first.job_id).result == {"right": 1}


def test_the_next_attempt_goes_on_from_the_checkpoint(database: Database, settings: Settings) -> None:
    first = context_of(database, settings, make_job(database, file="f"))
    assert (first.payload, first.checkpoint_state) == ({"file": "f"}, {})
    with database.write() as session:
        first.checkpoint(session, {"line": 40}, 0.4, "40 rows")
    with database.write() as session:
        jobs.release(session, first.job_id, first.attempt, "makes way")
    shown = jobs.to_dict(read(database, first.job_id))
    assert (shown["state"], shown["progress"], shown["attempt"]) == ("running", 0.4, 1)
    second = context_of(database, settings, first.job_id)
    assert second.checkpoint_state == {"line": 40}


def test_making_way_is_no_death_and_dying_is(database: Database, settings: Settings) -> None:
    job_id = make_job(database)
    for _ in range(settings.max_attempts + 2):
        context = context_of(database, settings, job_id)
        with database.write() as session:
            jobs.release(session, job_id, context.attempt, "makes way")
    assert jobs.to_dict(read(database, job_id))["attempt"] == 1

    for death in range(settings.max_attempts):
        context_of(database, settings, job_id)
        assert jobs.to_dict(read(database, job_id))["attempt"] == death + 1
        with database.write() as session:
            jobs.release_worker(session, "elsewhere:1")
    assert claim(database, settings, job_id) is None
    job = read(database, job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert f"died {settings.max_attempts} times" in job.error["detail"]
    assert job.error["status"] == 500


def test_a_lease_that_ran_out_is_lost_and_a_heartbeat_keeps_it(database: Database, settings: Settings) -> None:
    context = context_of(database, settings, make_job(database))
    later = utcnow() + timedelta(seconds=settings.job_lease_seconds + 1)
    with database.read() as session:
        assert jobs.lost_jobs(session, utcnow()) == []
        assert jobs.lost_jobs(session, later) == [context.job_id]
    with database.write() as session:
        session.execute(update(Job).values(lease_until=utcnow() - timedelta(seconds=1)))
        assert jobs.heartbeat(session, context.job_id, context.attempt, settings)
        assert jobs.release_lost(session, utcnow()) == []
    with database.write() as session:
        assert jobs.release_lost(session, later) == [context.job_id]
    job = read(database, context.job_id)
    assert (job.state, job.deaths, job.lease_until, job.worker) == ("running", 1, None, None)


def test_an_attempt_that_was_given_back_renews_nothing_and_may_still_publish(
    database: Database, settings: Settings
) -> None:
    context = context_of(database, settings, make_job(database))
    later = utcnow() + timedelta(seconds=settings.job_lease_seconds + 1)
    with database.write() as session:
        assert jobs.release_lost(session, later) == [context.job_id]
    with database.write() as session:
        assert not jobs.heartbeat(session, context.job_id, context.attempt, settings)
    with pytest.raises(LostJob), database.write() as session:
        context.checkpoint(session, {"line": 1})
    assert jobs.JobContext(database, read(database, context.job_id), settings).should_stop()
    job = read(database, context.job_id)
    assert (job.lease_until, job.checkpoint) == (None, None), "it still waits for whoever claims it"
    with database.write() as session:
        context.finish(session, {"created": 3})
    job = read(database, context.job_id)
    assert (job.state, job.result, job.lease_until) == ("succeeded", {"created": 3}, None)
    with database.read() as session:
        assert [found.id for found in jobs.unswept_jobs(session, later)] == [context.job_id]


def test_the_jobs_of_a_process_that_is_gone_are_lost_at_once(database: Database, settings: Settings) -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    mine, theirs, far = (make_job(database) for _ in range(3))
    claim(database, settings, mine, workers.worker_name(child=os.getpid()))
    claim(database, settings, theirs, workers.worker_name(child=gone))
    claim(database, settings, far, f"another-machine:{gone}")
    with database.write() as session:
        assert jobs.release_lost(session, utcnow()) == [theirs]


def test_a_worker_that_ends_gives_back_its_own_jobs_only(database: Database, settings: Settings) -> None:
    kept, given = make_job(database), make_job(database)
    claim(database, settings, kept, "node:12:34")
    claim(database, settings, given, "node:1:34")
    with database.write() as session:
        assert jobs.release_worker(session, "node:1", died=False) == [given]
    assert read(database, given).deaths == 0
    assert read(database, kept).worker == "node:12:34"


def test_a_job_that_somebody_else_has_by_now_is_not_taken_from_them(database: Database, settings: Settings) -> None:
    job_id = make_job(database)
    claim(database, settings, job_id, "dead:1")

    def overtake() -> None:
        with database.write() as session:
            assert jobs.release_worker(session, "dead:1") == [job_id]
        assert claim(database, settings, job_id, "alive:9") is not None

    with database.write() as session:
        if session.get_bind().dialect.name == "postgresql":  # on SQLite nobody can write meanwhile
            _before_the_first_update(session, overtake)
            assert jobs.release_worker(session, "dead:1") == []
    if database.engine.dialect.name != "postgresql":
        overtake()
        with database.write() as session:
            assert jobs.release_worker(session, "dead:1") == []
    job = read(database, job_id)
    assert (job.worker, job.attempt, job.deaths) == ("alive:9", 2, 1)
    assert job.lease_until is not None


def _before_the_first_update(session: Session, step: Callable[[], None]) -> None:
    steps = [step]

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE jobs") and steps:
            steps.pop()()

    event.listen(session.connection(), "before_cursor_execute", look)


def test_one_round_runs_and_one_waits(database: Database, settings: Settings) -> None:
    project, other = make_project(database), make_project(database)
    running = make_job(database, "round", project)
    assert claim(database, settings, running) is not None
    waiting = make_job(database, "round", project)
    elsewhere = make_job(database, "round", other)
    assert claim(database, settings, waiting) is None
    assert claim(database, settings, elsewhere) is not None
    assert read(database, waiting).state == "queued"
    with database.read() as session:
        assert jobs.startable(session) == []
    hints: list[tuple[str, int]] = []
    database.send_hint = lambda kind, job_id: hints.append((kind, job_id))
    with database.write() as session:
        jobs.finish(session, running, 1, {})
    assert hints == [("round", waiting)]
    assert claim(database, settings, waiting) is not None


def test_a_round_that_died_is_taken_up_before_the_one_that_waits(database: Database, settings: Settings) -> None:
    project = make_project(database)
    died = make_job(database, "round", project)
    claim(database, settings, died)
    waiting = make_job(database, "round", project)
    with database.write() as session:
        jobs.release_worker(session, "elsewhere:1")
    assert claim(database, settings, waiting) is None
    again = claim(database, settings, died)
    assert again is not None
    assert again.attempt == 2


def test_bulk_work_makes_way_for_a_round_that_waits(database: Database, settings: Settings) -> None:
    project = make_project(database)
    context = context_of(database, settings, make_job(database, "encode", project))
    assert not context.should_yield()
    round_id = make_job(database, "round", project)
    with database.write() as session:
        assert not jobs.round_waits(session, utcnow())
        session.execute(update(Job).values(created_at=utcnow() - timedelta(seconds=1)))
        assert jobs.round_waits(session, utcnow())
    again = jobs.JobContext(database, read(database, context.job_id), settings)
    with pytest.raises(jobs.Interrupted):
        again.pause_point()
    taken = context_of(database, settings, round_id)
    assert not taken.should_yield()
    with database.read() as session:
        assert not jobs.round_waits(session, utcnow())


def test_canceling(database: Database, settings: Settings) -> None:
    queued, running = make_job(database), make_job(database)
    context = context_of(database, settings, running)
    for job_id in (queued, running):
        with database.write() as session:
            job = jobs.cancel(session, job_id)
        assert (job.state, job.result, job.error) == ("canceled", None, None)
        assert claim(database, settings, job_id) is None
    assert context.should_stop()
    with pytest.raises(LostJob), database.write() as session:
        context.finish(session, {"too": "late"})
    with database.write() as session:
        assert jobs.cancel(session, queued).state == "canceled"  # again: the same

    done = context_of(database, settings, make_job(database))
    with database.write() as session:
        done.finish(session, {})
    with pytest.raises(Conflict), database.write() as session:
        jobs.cancel(session, done.job_id)
    with pytest.raises(NotFound), database.write() as session:
        jobs.cancel(session, 99_999)


def test_one_encode_job_covers_a_project(database: Database, settings: Settings) -> None:
    project = make_project(database)
    with database.write() as session:
        first = jobs.request_encode(session, project)
        assert jobs.request_encode(session, project).id == first.id
    context = context_of(database, settings, first.id)
    with database.write() as session:
        assert jobs.request_encode(session, project).id == first.id
        context.finish(session, {})
    with database.write() as session:
        assert jobs.request_encode(session, project).id != first.id


def test_hints_are_sent_after_the_commit_and_not_without_it(database: Database) -> None:
    hints: list[tuple[str, int]] = []
    database.send_hint = lambda kind, job_id: hints.append((kind, job_id))
    with database.write() as session:
        job = jobs.create_job(session, "export", None)
        assert hints == []
    assert hints == [("export", job.id)]

    def ask_and_fail() -> None:
        with database.write() as session:
            jobs.create_job(session, "export", None)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        ask_and_fail()
    assert hints == [("export", job.id)]


def test_what_could_start_is_listed_rounds_first(database: Database, settings: Settings) -> None:
    project, other = make_project(database), make_project(database)
    encode, export, first = (make_job(database, kind, project) for kind in ("encode", "export", "import"))
    running = make_job(database, "round", project)
    claim(database, settings, running)
    make_job(database, "round", project)
    elsewhere = make_job(database, "round", other)
    again = make_job(database, "import", other)
    expected = [("round", elsewhere), ("import", first), ("import", again), ("export", export), ("encode", encode)]
    with database.read() as session:
        assert jobs.startable(session) == expected
        assert jobs.startable(session, limit=2) == expected[:2]


def test_problems_are_problem_objects() -> None:
    assert jobs.problem_of(Invalid.field("format", "is unknown")) == {
        "type": "urn:winnow:problem:invalid",
        "title": "Invalid input",
        "status": 422,
        "detail": "format: is unknown",
        "errors": [{"loc": ["body", "format"], "msg": "is unknown"}],
    }
    hidden = jobs.internal_problem(KeyError("/secret/path"))
    assert "KeyError" in hidden["detail"]
    assert "secret" not in hidden["detail"]
