"""Access to projects, and the end of one, without HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from winnow import projects, users
from winnow.db.session import Database
from winnow.db.tables import Member, Project
from winnow.errors import Forbidden, NotFound
from winnow.permissions import Permission
from winnow.users import Identity


def person(database: Database, email: str, role: str = "member") -> Identity:
    with database.write() as session:
        user = users.add_user(session, users.NewUser(email, role, "!", None))
        return Identity(user.id, email, role, 1, False)


@pytest.fixture
def ann(database: Database) -> Identity:
    return person(database, "ann@example.org")


@pytest.fixture
def project(database: Database, ann: Identity) -> int:
    with database.write() as session:
        return projects.create_project(session, ann, name="mail", task="text", labels=["spam", "ham"]).id


def test_access_is_one_statement(database: Database, ann: Identity, project: int) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2].split()[0]))
    with database.read() as session:
        found = projects.access(session, ann, project, Permission.LABEL)
        assert (found.project.name, found.role, found.identity) == ("mail", "manager", ann)
    assert [name for name in statements if name != "BEGIN"] == ["SELECT"]
    with database.read() as session:
        assert projects.member_role(session, ann, project, Permission.LABEL) == "manager"
    assert [name for name in statements if name != "BEGIN"] == ["SELECT"] * 2


def test_a_stranger_learns_nothing_and_a_viewer_is_refused(database: Database, project: int) -> None:
    eve = person(database, "eve@example.org")
    with database.write() as session:
        for project_id in (project, project + 1):
            with pytest.raises(NotFound):
                projects.member_role(session, eve, project_id, Permission.PROJECT_READ)
        session.add(Member(project_id=project, user_id=eve.user_id, role="viewer"))
        session.flush()
        with pytest.raises(Forbidden, match="label"):
            projects.access(session, eve, project, Permission.LABEL)
        assert projects.access(session, eve, project, Permission.EXPORT).role == "viewer"


def test_an_archived_project_does_no_work_even_for_its_manager(database: Database, ann: Identity, project: int) -> None:
    with database.write() as session:
        projects.archive_project(session, project, "mail")
        assert projects.member_role(session, ann, project, Permission.PROJECT_MANAGE) == "manager"
        with pytest.raises(NotFound, match="archived"):
            projects.member_role(session, ann, project, Permission.LABEL)


def test_jobs_find_no_archived_project_and_none_that_is_gone(database: Database, project: int) -> None:
    with database.write() as session:
        assert projects.unarchived(session, project).id == project
        projects.archive_project(session, project, "mail")
        for gone in (project, project + 1, None):
            with pytest.raises(NotFound, match="was archived"):
                projects.unarchived(session, gone)


def test_each_project_has_an_order_of_its_own(database: Database, ann: Identity, project: int) -> None:
    with database.write() as session:
        other = projects.create_project(session, ann, name="mail", task="text", labels=["spam", "ham"])
        assert len(other.order_key) == 64
        assert other.order_key != session.get_one(Project, project).order_key


def test_class_names_keep_their_order(database: Database, project: int) -> None:
    with database.read() as session:
        assert projects.class_names(session.get_one(Project, project)) == ["spam", "ham"]
