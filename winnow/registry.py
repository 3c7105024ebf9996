"""The registry of students: their versions, where their files lie, and which is current."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.session import lock_project
from winnow.db.tables import Student
from winnow.errors import Conflict, NotFound
from winnow.ids import LARGEST_NUMBER

CURRENT = "current"
REPORT = "report.json"
#: Pictures of a report; what was not measured is not among a student's.
PICTURES = ("confusion", "calibration", "pareto")


def serving_path(student: Student) -> str:
    """The folder, in the storage, that predictions are made from."""
    return f"{student.path}/serving"


def training_path(student: Student) -> str:
    """The folder, in the storage, with the student as it was trained."""
    return f"{student.path}/student"


def report_path(student: Student) -> str:
    """The folder, in the storage, with the student's report and its pictures."""
    return f"{student.path}/report"


def lesson_path(student: Student) -> str:
    """The folder, in the storage, with what the student was taught."""
    return f"{student.path}/lesson"


def next_version(session: Session, project_id: int) -> int:
    """The version that the next student gets; they count from 1."""
    return (session.scalar(select(func.max(Student.version)).where(Student.project_id == project_id)) or 0) + 1


def add_student(session: Session, student: Student, *, promoted: bool) -> Student:
    """Store a student; ``promoted`` makes it the current one."""
    if promoted:
        student.promoted_at = utcnow()
    session.add(student)
    session.flush()
    return student


def list_students(session: Session, project_id: int, *, before: int | None = None, limit: int = 100) -> list[Student]:
    """Students, the newest first; ``before`` gives those with smaller versions."""
    wanted = select(Student).where(Student.project_id == project_id).order_by(Student.version.desc()).limit(limit)
    return list(
        session.scalars(wanted if before is None else wanted.where(Student.version < min(before, LARGEST_NUMBER)))
    )


def get_student(session: Session, project_id: int, version: str | int) -> Student:
    """A student by its version, or the ``current`` one.

    Raises:
        Conflict: ``current`` was asked for before there is one.
        NotFound: there is no such version.
    """
    if version == CURRENT:
        student = _current(session, project_id)
        if student is None:
            raise Conflict(
                "This project has no student yet: the first round trains it, once two classes have labels "
                "(POST …/rounds trains now)."
            )
        return student
    text = str(version)
    found = None
    if text.isascii() and text.isdecimal() and len(text) < 10:
        found = session.get(Student, (project_id, int(text)))
    if found is None:
        raise NotFound(f"There is no student {text[:20]} in this project.")
    return found


def current_version(session: Session, project_id: int) -> int | None:
    """The version of the current student: the one that was promoted last."""
    student = _current(session, project_id)
    return None if student is None else student.version


def promote(session: Session, project_id: int, version: str | int) -> Student:
    """Make a student the current one; also how to go back to an earlier one."""
    lock_project(session, project_id)
    student = get_student(session, project_id, version)
    student.promoted_at = utcnow()
    session.flush()
    return student


def _current(session: Session, project_id: int) -> Student | None:
    return session.scalar(
        select(Student)
        .where(Student.project_id == project_id, Student.promoted_at.is_not(None))
        .order_by(Student.promoted_at.desc(), Student.version.desc())
        .limit(1)
    )


def to_dict(student: Student, current: int | None) -> dict[str, Any]:
    """The student as the contract shows it; ``current`` is the current version."""
    return {
        "version": student.version,
        "round": student.round,
        "family": student.family,
        "labels": student.labels,
        "metrics": student.metrics,
        "recipe": student.recipe,
        "current": student.version == current,
        "promoted_at": student.promoted_at,
        "created_at": student.created_at,
    }
