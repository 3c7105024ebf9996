"""The end of archived projects."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from winnow import projects, purge, users
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Project
from winnow.storage import Storage
from winnow.users import Identity


@pytest.fixture
def project(database: Database) -> int:
    with database.write() as session:
        user = users.add_user(session, users.NewUser("ann@example.org", "member", "!", None))
        ann = Identity(user.id, user.email, user.role, 1, False)
        return projects.create_project(session, ann, name="mail", task="text", labels=["spam", "ham"]).id


def test_a_purge_goes_in_steps_until_nothing_is_left(
    database: Database, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "_AT_ONCE", 2)
    with database.write() as session:
        for n in range(5):
            session.add(
                Item(
                    project_id=project, number=n, digest=f"{n}", group_digest="g", shuffle=n, split="pool", is_open=True
                )
            )
    steps = []
    left = [5]
    while not steps or not steps[-1]:
        with database.write() as session:
            steps.append(purge.purge_step(session, project))
            left.append(len(session.scalars(select(Item.id)).all()))
    assert left == [5, 3, 1, 0, 0]
    assert steps == [False, False, False, True]
    with database.write() as session:
        purge.forget_project(session, project)
        assert session.get(Project, project) is None


def test_a_project_is_due_for_its_purge_after_thirty_days(database: Database, project: int) -> None:
    with database.write() as session:
        assert purge.expired_projects(session, utcnow() + timedelta(days=400)) == []
        archived = projects.archive_project(session, project, "mail").archived_at
        assert archived is not None
        assert purge.expired_projects(session, archived + purge.PURGE_AFTER - timedelta(seconds=1)) == []
        assert purge.expired_projects(session, archived + purge.PURGE_AFTER) == [project]


def test_a_purge_that_was_cut_short_goes_on(database: Database, storage: Storage, project: int) -> None:
    storage.put_bytes(b"x", f"projects/{project}/students/1/model.onnx")
    with database.write() as session:
        assert purge.purge_step(session, project) is True
    purge.purge_project(database, storage, project)
    assert storage.list() == []
