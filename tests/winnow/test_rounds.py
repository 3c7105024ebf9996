"""Rounds: when one is due, and what is recorded."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from winnow import jobs, rounds
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Job, Label, Project, Round
from winnow.errors import NotFound
from winnow.settings import Settings


def make_project(database: Database, batch_size: object = "auto", **columns: int) -> int:
    with database.write() as session:
        settings = {"batch_size": batch_size}
        project = Project(name="p", task="text", labels=[], settings=settings, order_key="00", **columns)
        session.add(project)
        session.flush()
        return project.id


def add_labels(database: Database, project_id: int, n: int) -> int | None:
    """As writing labels does; returns the round's job, if one was asked for."""
    with database.write() as session:
        project = session.get_one(Project, project_id)
        project.n_labels += n
        job = rounds.request_round_if_due(session, project)
        return None if job is None else job.id


@pytest.mark.parametrize(
    ("setting", "labels", "size"),
    [("auto", 0, 10), ("auto", 200, 10), ("auto", 201, 11), ("auto", 1000, 50), (7, 5000, 7)],
)
def test_auto_is_five_percent_of_the_labels_and_ten_at_least(setting: object, labels: int, size: int) -> None:
    assert rounds.batch_size(Project(settings={"batch_size": setting}, n_labels=labels)) == size


def test_a_round_is_due_when_a_batch_of_labels_has_come(database: Database, settings: Settings) -> None:
    project = make_project(database)
    assert add_labels(database, project, 9) is None
    job_id = add_labels(database, project, 1)
    assert job_id is not None
    assert add_labels(database, project, 30) == job_id, "it waits already"
    with database.write() as session:
        assert jobs.claim(session, job_id, "w", settings) is not None
        rounds.note_cutoff(session, project, 40)
    assert add_labels(database, project, 9) is None
    following = add_labels(database, project, 1)
    assert following not in (None, job_id), "one runs, one waits"
    assert add_labels(database, project, 1) == following


def test_undone_labels_do_not_count(database: Database) -> None:
    project = make_project(database)
    assert add_labels(database, project, 9) is None
    assert add_labels(database, project, -3) is None
    assert add_labels(database, project, 3) is None
    assert add_labels(database, project, 1) is not None


def test_an_archived_project_has_no_rounds(database: Database) -> None:
    project = make_project(database)
    with database.write() as session:
        session.get_one(Project, project).archived_at = utcnow()
    assert add_labels(database, project, 100) is None


def test_asking_for_a_round_gives_the_one_that_waits(database: Database) -> None:
    project = make_project(database)
    waiting = add_labels(database, project, 10)
    with database.write() as session:
        row = session.get_one(Project, project)
        asked = rounds.request_round(session, row, forced=True)
        assert asked.id == waiting
        assert asked.payload == {"forced": True}
        assert rounds.request_round(session, row, forced=False).payload == {"forced": True}
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_imported_labels_make_a_round_due_once_they_are_encoded(database: Database) -> None:
    project = make_project(database, next_number=12)
    with database.write() as session:
        row = session.get_one(Project, project)
        for number in range(12):
            item = Item(
                project_id=project,
                number=number,
                digest=str(number),
                group_digest=str(number),
                shuffle=number,
                split="pool",
                is_open=False,
            )
            session.add(item)
            session.flush()
            label = Label(project_id=project, item_id=item.id, kind="label", value="a", source="import")
            session.add(label)
            session.flush()
            due = rounds.request_round_if_labels_wait(session, row)
            assert (due is not None) == (number >= 9)
        row.ranked_cutoff = label.id
        session.flush()
        assert rounds.request_round_if_labels_wait(session, row) is None


def test_rounds_are_numbered_and_listed_newest_first(database: Database) -> None:
    project, other = make_project(database), make_project(database)
    with database.write() as session:
        for _ in range(3):
            n = rounds.next_number(session, project)
            rounds.record_round(
                session,
                Round(
                    project_id=project,
                    n=n,
                    state="trained",
                    cutoff=10 * n,
                    labels=20 * n,
                    metrics={"accuracy": None},
                    costs={},
                    started_at=utcnow(),
                ),
            )
        assert rounds.next_number(session, other) == 1
    with database.read() as session:
        assert [entry.n for entry in rounds.list_rounds(session, project)] == [3, 2, 1]
        assert [entry.n for entry in rounds.list_rounds(session, project, before=3, limit=1)] == [2]
        shown = rounds.to_dict(rounds.get_round(session, project, 2))
        assert (shown["n"], shown["labels"], shown["student"], shown["promoted"]) == (2, 40, None, False)
        last = rounds.last_round(session, project)
        assert last is not None
        assert last.n == 3
        with pytest.raises(NotFound):
            rounds.get_round(session, project, 4)
        with pytest.raises(NotFound):
            rounds.get_round(session, other, 1)
