"""Families of students: what a project's setting may name."""

from __future__ import annotations

from pydantic import BaseModel, Field

from winnow.project_settings import STUDENTS, TASKS


class StudentFamilyOut(BaseModel):
    """One that the setting ``student`` may name."""

    name: str
    tasks: list[str] = Field(description="The kinds of project that may name it.")

    @classmethod
    def of(cls, name: str) -> StudentFamilyOut:
        """By its name."""
        return cls(name=name, tasks=[task for task in TASKS if name in STUDENTS[task]])


class StudentFamilyList(BaseModel):
    """All of them, in one page."""

    data: list[StudentFamilyOut]
    next: None
