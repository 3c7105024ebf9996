"""The registry of students."""

from __future__ import annotations

import pytest

from winnow import registry
from winnow.db.session import Database
from winnow.db.tables import Project, Student
from winnow.errors import Conflict, NotFound


@pytest.fixture
def project(database: Database) -> int:
    with database.write() as session:
        made = Project(name="p", task="text", labels=[], settings={}, order_key="00")
        session.add(made)
        session.flush()
        return made.id


def add(database: Database, project: int, *, promoted: bool) -> int:
    with database.write() as session:
        version = registry.next_version(session, project)
        student = Student(
            project_id=project,
            version=version,
            round=version,
            family="hashed",
            path=f"s/{version}",
            labels=20,
            metrics={},
            recipe={},
        )
        registry.add_student(session, student, promoted=promoted)
        return version


def test_before_there_is_a_student(database: Database, project: int) -> None:
    with database.read() as session:
        assert registry.current_version(session, project) is None
        assert registry.list_students(session, project) == []
        with pytest.raises(Conflict):
            registry.get_student(session, project, "current")
        for version in ("1", "0", "-1", "x", "9" * 30, "¹"):
            with pytest.raises(NotFound):
                registry.get_student(session, project, version)


def test_the_one_promoted_last_is_current_and_one_can_go_back(database: Database, project: int) -> None:
    assert [add(database, project, promoted=p) for p in (True, True, False)] == [1, 2, 3]
    with database.read() as session:
        assert registry.current_version(session, project) == 2
        assert [student.version for student in registry.list_students(session, project)] == [3, 2, 1]
        assert [student.version for student in registry.list_students(session, project, before=3, limit=1)] == [2]
    with database.write() as session:
        assert registry.promote(session, project, "1").version == 1
    with database.read() as session:
        current = registry.get_student(session, project, "current")
        assert current.version == 1
        assert registry.to_dict(current, 1)["current"] is True
        assert registry.to_dict(registry.get_student(session, project, 3), 1)["current"] is False
        assert registry.serving_path(current) == "s/1/serving"
    with pytest.raises(NotFound), database.write() as session:
        registry.promote(session, project, "9")
