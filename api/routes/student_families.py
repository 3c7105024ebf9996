"""Families of students: what a project's setting may name."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Me
from api.schemas.student_family import StudentFamilyList, StudentFamilyOut
from winnow.project_settings import STUDENTS

router = APIRouter(prefix="/student-families", tags=["projects"])


@router.get("")
def list_student_families(_me: Me) -> StudentFamilyList:
    """The families of students to choose from; `auto` leaves the choice to measurement."""
    names = dict.fromkeys(name for names in STUDENTS.values() for name in names)
    return StudentFamilyList(data=[StudentFamilyOut.of(name) for name in names], next=None)
